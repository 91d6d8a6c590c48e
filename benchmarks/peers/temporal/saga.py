"""The saga as a Temporal workflow: three local activities, undone in reverse order if one is refused.

Local ones cost a third of others here: what they answer is stored together, when the workflow next waits for anything
else or ends. A crash before repeats them, under the same idempotency keys.
"""

from datetime import timedelta
from typing import Final

from orders.v1.orders_pb2 import PlaceOrderRequest
from temporalio import activity, workflow
from temporalio.exceptions import ActivityError, ApplicationError

from benchmarks.calls import CALL_TIMEOUT_S, STEPS, Calls, RefusedError, key_metadata
from contracts.metadata import PHASE_ACTION, PHASE_COMPENSATION

TIMEOUT: Final = timedelta(seconds=CALL_TIMEOUT_S)


class Activities:
    """The calls, with the worker's connections."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @activity.defn
    async def act(self, step: str, payload: bytes) -> bytes:
        """The response. A refusal fails for good."""
        order = PlaceOrderRequest.FromString(payload)
        try:
            return await self._calls.act(step, order, key_metadata(order.request_id, step, PHASE_ACTION))
        except RefusedError as error:
            raise ApplicationError(str(error), non_retryable=True) from None

    @activity.defn
    async def undo(self, step: str, payload: bytes, response: bytes) -> None:
        """Undoes a step whose response this is."""
        order = PlaceOrderRequest.FromString(payload)
        await self._calls.undo(step, order, response, key_metadata(order.request_id, step, PHASE_COMPENSATION))


@workflow.defn(name="PlaceOrder")
class PlaceOrder:
    """True if it completed."""

    @workflow.run
    async def run(self, payload: bytes) -> bool:
        done: list[tuple[str, bytes]] = []
        try:
            for step in STEPS:
                response: bytes = await workflow.execute_local_activity(
                    "act", args=[step, payload], start_to_close_timeout=TIMEOUT, result_type=bytes
                )
                done.append((step, response))
        except (ActivityError, ApplicationError):  # a local activity raises its failure itself
            for step, response in reversed(done):
                await workflow.execute_local_activity(
                    "undo", args=[step, payload, response], start_to_close_timeout=TIMEOUT
                )
            return False
        return True
