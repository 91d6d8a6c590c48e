"""Places orders as a careful caller does: with a deadline, and again under the same request_id where in doubt."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED, SAGA_STATE_STUCK, SagaState
from saga.v1.saga_service_pb2 import StartSagaRequest, WaitSagaRequest
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.errors import Reason, error_info
from orchestrator.local.orders import Order

CALL_TIMEOUT_S: Final = 10.0
ORDER_TIMEOUT_S: Final = 90.0
FIRST_BACKOFF_S: Final = 0.05
MAX_BACKOFF_S: Final = 1.0
ENDED: Final = frozenset({SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED, SAGA_STATE_STUCK})
STORED: Final = frozenset(SagaState.values())
"""Every state: a saga that has one is stored."""
IN_DOUBT: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)
"""Statuses after which the same request is sent again, to another node."""

ResponseT = TypeVar("ResponseT", bound=Message)
Found: TypeAlias = "tuple[SagaState.ValueType, str, str, str]"
"""Of an order's saga: its state and id, the step that failed and why."""
Attempt: TypeAlias = "Callable[[Order, str], Awaitable[Found]]"
"""One way to ask a node about an order."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order. ``failed_step`` and ``reason`` are set if it was undone; ``calls`` counts the RPCs."""

    order: Order
    state: "SagaState.ValueType"
    saga_id: str
    failed_step: str
    reason: str
    calls: int
    latency_s: float


class OrderTimeoutError(Exception):
    """An order had no end within ``ORDER_TIMEOUT_S``; the message names it and the last answer."""


class Customer:
    """Sends orders to any of several nodes. ``in_flight`` counts, by address, the calls that wait for an answer."""

    def __init__(self, addresses: list[str]) -> None:
        self.in_flight = dict.fromkeys(addresses, 0)
        self._channels = {address: grpc.aio.insecure_channel(address) for address in addresses}

    async def close(self) -> None:
        """Closes the channels."""
        for channel in self._channels.values():
            await channel.close()

    async def place(self, order: Order, first: str) -> Outcome:
        """Returns the end of the order, asking node ``first`` before the others. Raises ``OrderTimeoutError``."""
        by_front_door = order.definition == "place-order" and order.version == 2
        attempt = self._place_typed if by_front_door else self._start_and_wait
        started = time.monotonic()
        found, calls = await self._insist(order, first, attempt, ENDED)
        return Outcome(order, *found, calls, time.monotonic() - started)

    async def start(self, order: Order, first: str) -> str:
        """Returns the id of the order's saga once that is stored. Raises ``OrderTimeoutError``."""
        (_, saga_id, _, _), _ = await self._insist(order, first, self._start, STORED)
        return saga_id

    async def _insist(
        self, order: Order, first: str, attempt: Attempt, enough: "frozenset[SagaState.ValueType]"
    ) -> tuple[Found, int]:
        """Asks until the saga is in a state that is enough; returns that, and how many calls it took."""
        nodes = list(self._channels)
        turn = nodes.index(first)
        backoff_s = FIRST_BACKOFF_S
        started = time.monotonic()
        last = "no answer"
        for calls in range(1, 1_000_000):
            if time.monotonic() - started > ORDER_TIMEOUT_S:
                break
            node = nodes[turn % len(nodes)]
            try:
                found = await attempt(order, node)
            except grpc.aio.AioRpcError as error:
                if error.code() not in IN_DOUBT:
                    raise
                last = f"{error.code().name} from {node}: {error.details()}"
                turn += 1
                await asyncio.sleep(random.uniform(0, backoff_s))  # noqa: S311  (jitter, not a secret)
                backoff_s = min(MAX_BACKOFF_S, backoff_s * 2)
                continue
            if found[0] in enough:
                return found, calls
            last = f"{SagaState.Name(found[0])} from {node}"
        raise OrderTimeoutError(f"order {order.request.order_id} has no end after {ORDER_TIMEOUT_S:g} s: {last}")

    async def _place_typed(self, order: Order, node: str) -> Found:
        """The shop's own front door, which runs the newest version."""
        stub = OrderServiceStub(self._channels[node])
        try:
            response = await self._counted(node, lambda: stub.PlaceOrder(order.request, timeout=CALL_TIMEOUT_S))
        except grpc.aio.AioRpcError as error:
            info = error_info(error.trailing_metadata())
            if info is None or info.reason != Reason.SAGA_COMPENSATED:
                raise
            told = info.metadata
            return SAGA_STATE_COMPENSATED, told["saga_id"], told["failed_step"], told["failure_reason"]
        return response.state, response.saga_id, "", ""

    async def _start_and_wait(self, order: Order, node: str) -> Found:
        """The generic door, which runs any version."""
        stub = SagaServiceStub(self._channels[node])
        _, saga_id, _, _ = await self._start(order, node)
        wait = WaitSagaRequest(saga_id=saga_id)
        saga = (await self._counted(node, lambda: stub.WaitSaga(wait, timeout=CALL_TIMEOUT_S))).saga
        return saga.state, saga.saga_id, saga.failed_step, saga.failure.reason

    async def _start(self, order: Order, node: str) -> Found:
        """Any definition, without waiting for its end."""
        stub = SagaServiceStub(self._channels[node])
        start = StartSagaRequest(
            request_id=order.request.request_id,
            definition=order.definition,
            version=order.version,
            input=order.request.SerializeToString(),
        )
        saga = (await self._counted(node, lambda: stub.StartSaga(start, timeout=CALL_TIMEOUT_S))).saga
        return saga.state, saga.saga_id, saga.failed_step, saga.failure.reason

    async def _counted(self, node: str, call: Callable[[], Awaitable[ResponseT]]) -> ResponseT:
        self.in_flight[node] += 1
        try:
            return await call()
        finally:
            self.in_flight[node] -= 1
