"""CancelSaga at a node that does not own the saga."""

import asyncio
import os
import signal

import grpc
import pytest
from saga.v1.event_pb2 import EVENT_TYPE_REQUEST_CONSUMED
from saga.v1.saga_pb2 import (
    SAGA_STATE_COMPENSATED,
    SAGA_STATE_COMPENSATING,
    SAGA_STATE_COMPLETED,
    STEP_STATE_COMPENSATED,
    Saga,
    StepState,
)
from saga.v1.saga_service_pb2 import CancelSagaRequest

from contracts.errors import Reason
from orchestrator.local.stack import Member
from tests.system.harness import Shop, check_fencing, error_info, frozen, until

pytestmark = pytest.mark.timeout(120)


async def cancel(shop: Shop, node: Member, saga_id: str) -> Saga:
    request = CancelSagaRequest(request_id=f"cancel-{saga_id}", saga_id=saga_id)
    return (await shop.sagas_at(node).CancelSaga(request, timeout=10)).saga


async def refusal(shop: Shop, node: Member, saga_id: str) -> str:
    """Why a cancellation is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cancel(shop, node, saga_id)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    info = error_info(caught.value)
    assert info.metadata["saga_id"] == saga_id
    reason: str = info.reason
    return reason


async def test_before_the_pivot_all_is_undone(shop: Shop) -> None:
    owner, other = await shop.two_nodes()
    orders = shop.new_orders(8, faults=("",))
    with frozen(shop.stack.participants["shipping"].child):
        saga_ids = await shop.start(owner, orders)
        await shop.until_all(other, saga_ids, lambda saga: saga.last_seq >= 3, 20, "waiting for shipping")
        # Granted although shipping does not answer: what it may have done is undone once it does.
        for saga in await asyncio.gather(*(cancel(shop, other, saga_id) for saga_id in saga_ids)):
            assert saga.state == SAGA_STATE_COMPENSATING
    assert await shop.until_ended(other, saga_ids, 40) == {SAGA_STATE_COMPENSATED: 8}
    for saga_id in saga_ids:
        saga = await shop.saga(other, saga_id)
        assert saga.failure.reason == "CANCELLED"
        undone = [step.name for step in saga.steps if step.state == STEP_STATE_COMPENSATED]
        assert len(undone) == 3, [(step.name, StepState.Name(step.state)) for step in saga.steps]
        check_fencing(await shop.events(other, saga_id))
        assert (await cancel(shop, owner, saga_id)).state == SAGA_STATE_COMPENSATED  # asked for once, and granted
    await shop.check_sums(other)


async def test_past_the_pivot_it_is_refused(shop: Shop) -> None:
    owner, other = await shop.two_nodes()
    shipping, payment = (shop.stack.participants[name].child for name in ("shipping", "payment"))
    orders = shop.new_orders(8, versions=(2,), faults=("",))
    with frozen(shipping):
        saga_ids = await shop.start(owner, orders)
        await shop.until_all(other, saga_ids, lambda saga: saga.last_seq >= 3, 20, "waiting for shipping")
        with frozen(payment):
            os.kill(shipping.pid, signal.SIGCONT)
            # Shipped, and the intent to capture is durable: whether the money was taken is not known.
            await shop.until_all(other, saga_ids, lambda saga: saga.last_seq >= 5, 20, "waiting for payment")
            reasons = await asyncio.gather(*(refusal(shop, other, saga_id) for saga_id in saga_ids))
            assert set(reasons) == {Reason.PAST_PIVOT}
    assert await shop.until_ended(other, saga_ids, 40) == {SAGA_STATE_COMPLETED: 8}
    for saga_id in saga_ids:
        journal = await shop.events(other, saga_id)
        check_fencing(journal)
        (consumed,) = [event for event in journal if event.type == EVENT_TYPE_REQUEST_CONSUMED]
        assert consumed.request_consumed.refusal.reason == Reason.PAST_PIVOT
        assert await refusal(shop, owner, saga_id) == Reason.PAST_PIVOT  # the same request, the same answer
    await shop.check_sums(other)


async def test_an_ended_saga_is_not_cancelled(shop: Shop) -> None:
    owner, other = await shop.two_nodes()
    (saga_id,) = await shop.start(owner, shop.new_orders(1, faults=("",)))
    await shop.until_ended(other, [saga_id], 20)
    assert await refusal(shop, other, saga_id) == Reason.SAGA_STATE


async def test_the_owner_dies_before_it_reads_the_request(shop: Shop) -> None:
    owner, other = await shop.two_nodes()
    orders = shop.new_orders(8, faults=("",))
    with frozen(shop.stack.participants["shipping"].child):
        saga_ids = await shop.start(owner, orders)
        await shop.until_all(other, saga_ids, lambda saga: saga.last_seq >= 3, 20, "waiting for shipping")
        os.kill(owner.child.pid, signal.SIGSTOP)
        asked = [asyncio.create_task(cancel(shop, other, saga_id)) for saga_id in saga_ids]

        async def stored() -> bool:
            waiting = "saga_request r JOIN saga s USING (saga_id) WHERE r.consumed_seq IS NULL AND s.ended_at IS NULL"
            return await shop.count(waiting) == len(saga_ids)

        await until(stored, 10, "stored requests")
        await owner.child.kill()
        for saga in await asyncio.gather(*asked):
            assert saga.state in {SAGA_STATE_COMPENSATING, SAGA_STATE_COMPENSATED}
    assert await shop.until_ended(other, saga_ids, 40) == {SAGA_STATE_COMPENSATED: 8}
    await shop.check_sums(other)
