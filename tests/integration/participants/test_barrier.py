"""Every cell of the barrier's table, and what is refused before it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from itertools import product
from typing import Any

import grpc
import pytest
from inventory.v1 import inventory_pb2 as pb
from inventory.v1.inventory_saga import InventoryService
from saga.v1 import participant_service_pb2 as settle_pb
from saga.v1.participant_service_saga import ParticipantService

from contracts import metadata as keys
from contracts.errors import retry_delay_s
from participants.kit import Busy, Rejected
from participants.kit.table import BarrierState
from tests.integration.participants.calls import Caller, call, reason
from tests.integration.participants.conftest import Served
from tests.integration.participants.probe import Gate, Probe, release_request, reserve_request

Reserve, Release = InventoryService.Reserve, InventoryService.Release
FAILED, ABORTED = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED

OUT_OF_STOCK = (FAILED, "inventory.v1", "OUT_OF_STOCK", True)
SUPERSEDED = (FAILED, "saga.v1", "SUPERSEDED", False)
STALE_EPOCH = (ABORTED, "saga.v1", "STALE_EPOCH", False)
KEY_REUSED = (FAILED, "saga.v1", "KEY_REUSED", False)


async def reject(*_: object) -> None:
    raise Rejected(FAILED, "OUT_OF_STOCK", "nothing left", metadata={"sku": "SKU-1"})


async def refused(awaitable: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value


async def rejected_step(served: Served, probe: Probe, **fields: Any) -> Caller:
    """A step whose row is REJECTED."""
    probe.on_action = reject
    caller = served.caller(**fields)
    assert reason(await refused(caller.act(Reserve, reserve_request()))) == OUT_OF_STOCK
    probe.reset()
    return caller


async def state(served: Served, caller: Caller) -> tuple[BarrierState, int]:
    row = await served.row(caller)
    return BarrierState(row["state"]), row["epoch"]


async def test_absent_action_runs_and_is_done(served: Served, probe: Probe) -> None:
    caller = served.caller(epoch=3)
    response = await caller.act(Reserve, reserve_request())
    assert response.reservation_id == "run 1"
    row = await served.row(caller)
    assert (row["state"], row["epoch"], row["verdict"]) == (BarrierState.DONE, 3, None)
    assert pb.ReserveResponse.FromString(row["response"]) == response
    assert await served.effects() == ["action"]


async def test_absent_action_rejected_keeps_the_verdict_alone(served: Served, probe: Probe) -> None:
    caller = await rejected_step(served, probe)
    assert await state(served, caller) == (BarrierState.REJECTED, 1)
    assert await served.effects() == []


async def test_absent_compensation_leaves_a_tombstone(served: Served, probe: Probe) -> None:
    caller = served.caller(epoch=2)
    assert await caller.undo(Release, release_request()) == pb.ReleaseResponse()
    assert await state(served, caller) == (BarrierState.TOMBSTONE, 2)
    assert probe.runs == {}


async def test_done_action_replays_and_raises_the_epoch(served: Served, probe: Probe) -> None:
    caller = served.caller()
    first = await caller.act(Reserve, reserve_request())
    assert await caller.act(Reserve, reserve_request()) == first
    assert await caller.under(5).act(Reserve, reserve_request()) == first
    assert await state(served, caller) == (BarrierState.DONE, 5)
    assert probe.runs == {"action": 1}


async def test_done_is_undone_once_and_replayed(served: Served, probe: Probe) -> None:
    caller = served.caller()
    await caller.act(Reserve, reserve_request())
    first = await caller.undo(Release, release_request())
    assert first.released_quantity == 1
    assert await state(served, caller) == (BarrierState.UNDONE, 1)
    assert await caller.under(2).undo(Release, release_request()) == first
    assert await state(served, caller) == (BarrierState.UNDONE, 2)
    assert (await served.effects(), len(probe.effect_ids)) == (["action", "undo"], 1)


async def test_refused_undo_stores_nothing_and_is_judged_anew(served: Served, probe: Probe) -> None:
    caller = served.caller()
    await caller.act(Reserve, reserve_request())
    probe.on_undo = reject
    error = await refused(caller.under(2).undo(Release, release_request()))
    assert reason(error) == (FAILED, "inventory.v1", "OUT_OF_STOCK", False)
    assert await state(served, caller) == (BarrierState.DONE, 1)
    probe.on_undo = Probe().on_undo
    assert (await caller.under(2).undo(Release, release_request())).released_quantity == 2
    assert await served.effects() == ["action", "undo"]


async def test_rejected_replays_under_the_same_epoch(served: Served, probe: Probe) -> None:
    caller = await rejected_step(served, probe)
    assert reason(await refused(caller.act(Reserve, reserve_request()))) == OUT_OF_STOCK
    assert probe.runs == {}


async def test_rejected_is_judged_anew_under_a_newer_epoch(served: Served, probe: Probe) -> None:
    caller = await rejected_step(served, probe)
    assert (await caller.under(2).act(Reserve, reserve_request())).reservation_id == "run 1"
    assert await state(served, caller) == (BarrierState.DONE, 2)
    assert await served.effects() == ["action"]


async def test_rejected_again_under_a_newer_epoch(served: Served, probe: Probe) -> None:
    caller = await rejected_step(served, probe)
    probe.on_action = reject
    assert reason(await refused(caller.under(2).act(Reserve, reserve_request()))) == OUT_OF_STOCK
    assert await state(served, caller) == (BarrierState.REJECTED, 2)
    assert await served.effects() == []


async def test_rejected_compensation_buries(served: Served, probe: Probe) -> None:
    caller = await rejected_step(served, probe)
    assert await caller.undo(Release, release_request()) == pb.ReleaseResponse()
    assert await state(served, caller) == (BarrierState.TOMBSTONE, 1)


@pytest.mark.parametrize("undone", [True, False], ids=["undone", "tombstone"])
async def test_action_after_its_undo_is_superseded(served: Served, probe: Probe, undone: bool) -> None:
    caller = served.caller()
    if undone:
        await caller.act(Reserve, reserve_request())
    await caller.undo(Release, release_request())
    before = await state(served, caller)
    assert reason(await refused(caller.under(9).act(Reserve, reserve_request()))) == SUPERSEDED
    assert await state(served, caller) == before
    await caller.under(9).undo(Release, release_request())
    assert await state(served, caller) == (before[0], 9)


@pytest.mark.parametrize("kind", ["done", "rejected", "tombstone", "undone"])
async def test_stale_epoch_is_refused_in_every_state(served: Served, probe: Probe, kind: str) -> None:
    caller = await rejected_step(served, probe, epoch=5) if kind == "rejected" else served.caller(epoch=5)
    if kind in ("done", "undone"):
        await caller.act(Reserve, reserve_request())
    if kind in ("tombstone", "undone"):
        await caller.undo(Release, release_request())
    before = await served.row(caller)
    stale = caller.under(4)
    for awaitable in (stale.act(Reserve, reserve_request()), stale.undo(Release, release_request()), stale.settle()):
        assert reason(await refused(awaitable)) == STALE_EPOCH
    assert await served.row(caller) == before


@pytest.mark.parametrize("kind", ["done", "rejected"])
async def test_reused_key_is_refused(served: Served, probe: Probe, kind: str) -> None:
    caller = await rejected_step(served, probe) if kind == "rejected" else served.caller()
    if kind == "done":
        await caller.act(Reserve, reserve_request())
    before = await served.row(caller)
    assert reason(await refused(caller.under(2).act(Reserve, reserve_request(quantity=2)))) == KEY_REUSED
    other = pb.ConfirmReservationRequest(order_id="order", reservation_id="r")
    assert reason(await refused(caller.under(2).act(InventoryService.ConfirmReservation, other))) == KEY_REUSED
    assert await served.row(caller) == before


async def test_settle_in_each_state(served: Served, probe: Probe) -> None:
    rejected = await rejected_step(served, probe)
    absent, done, undone = served.caller(), served.caller(), served.caller()
    response = await done.act(Reserve, reserve_request())
    await undone.act(Reserve, reserve_request())
    await undone.undo(Release, release_request())
    for caller, expected, stored in (
        (absent, settle_pb.SETTLE_STATE_TOMBSTONE, b""),
        (absent, settle_pb.SETTLE_STATE_TOMBSTONE, b""),
        (rejected, settle_pb.SETTLE_STATE_TOMBSTONE, b""),
        (done, settle_pb.SETTLE_STATE_DONE, response.SerializeToString()),
        (undone, settle_pb.SETTLE_STATE_UNDONE, b""),
    ):
        settled = await caller.under(7).settle()
        assert (settled.state, settled.response) == (expected, stored)
        assert (await state(served, caller))[1] == 7
    for caller in (absent, rejected, undone):
        assert reason(await refused(caller.under(8).act(Reserve, reserve_request()))) == SUPERSEDED
    assert await done.under(8).act(Reserve, reserve_request()) == response


@pytest.mark.parametrize("kind", ["act", "undo", "settle"])
async def test_being_written_is_waited_for(served: Served, probe: Probe, kind: str) -> None:
    gate = probe.on_action = Gate()
    caller = served.caller()
    first = asyncio.create_task(caller.act(Reserve, reserve_request()))
    await asyncio.wait_for(gate.entered.wait(), 10)
    calls: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "act": lambda: caller.act(Reserve, reserve_request()),
        "undo": lambda: caller.undo(Release, release_request()),
        "settle": caller.settle,
    }
    second = asyncio.create_task(calls[kind]())
    await served.until_waiting(1)
    assert not second.done()
    gate.opened.set()
    response, outcome = await first, await second
    if kind == "act":
        assert outcome == response
    elif kind == "undo":
        assert (await state(served, caller), outcome.released_quantity) == ((BarrierState.UNDONE, 1), 1)
    else:
        assert pb.ReserveResponse.FromString(outcome.response) == response
    assert probe.runs["action"] == 1


async def test_duplicates_at_once_have_one_effect(served: Served, probe: Probe) -> None:
    caller = served.caller()
    responses = await asyncio.gather(*(caller.act(Reserve, reserve_request()) for _ in range(20)))
    assert {response.reservation_id for response in responses} == {"run 1"}
    assert (probe.runs, await served.effects()) == ({"action": 1}, ["action"])


async def test_duplicates_at_once_of_a_rejection(served: Served, probe: Probe) -> None:
    probe.on_action = reject
    caller = served.caller()
    errors = await asyncio.gather(*(refused(caller.act(Reserve, reserve_request())) for _ in range(20)))
    assert {reason(error) for error in errors} == {OUT_OF_STOCK}
    assert probe.runs == {"action": 1}


async def test_action_and_undo_at_once_end_without_effect_or_undone(served: Served, probe: Probe) -> None:
    callers = [served.caller() for _ in range(10)]
    await asyncio.gather(
        *(refused_or(caller.act(Reserve, reserve_request())) for caller in callers),
        *(caller.undo(Release, release_request()) for caller in callers),
    )
    ends = [(await state(served, caller))[0] for caller in callers]
    assert set(ends) <= {BarrierState.UNDONE, BarrierState.TOMBSTONE}
    undone = ends.count(BarrierState.UNDONE)
    assert await served.effects() == ["action"] * undone + ["undo"] * undone


async def refused_or(awaitable: Awaitable[object]) -> None:
    outcome = (await asyncio.gather(awaitable, return_exceptions=True))[0]
    assert not isinstance(outcome, grpc.aio.AioRpcError) or reason(outcome) == SUPERSEDED


@pytest.mark.parametrize("contended", [False, True])
async def test_busy_stores_nothing(served: Served, probe: Probe, contended: bool) -> None:
    async def busy(*_: object) -> None:
        raise Busy(2.5, "LINE_DOWN", "the line is down", contended=contended)

    probe.on_action = busy
    caller = served.caller()
    error = await refused(caller.act(Reserve, reserve_request()))
    code = ABORTED if contended else grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason(error) == (code, "inventory.v1", "LINE_DOWN", False)
    assert retry_delay_s(error.trailing_metadata()) == 2.5
    assert (await served.row(caller), await served.effects()) == ({}, [])


async def test_defect_stores_nothing_and_tells_nothing(served: Served, probe: Probe) -> None:
    async def crash(*_: object) -> None:
        raise KeyError("secret")

    probe.on_action = crash
    caller = served.caller()
    error = await refused(caller.act(Reserve, reserve_request()))
    assert reason(error) == (grpc.StatusCode.INTERNAL, "saga.v1", "INTERNAL", False)
    assert "secret" not in (error.details() or "")
    assert (await served.row(caller), await served.effects()) == ({}, [])


async def test_metadata_is_required(served: Served, probe: Probe) -> None:
    contract = (keys.SAGA_ID, keys.SAGA_STEP, keys.IDEMPOTENCY_KEY, keys.EPOCH, keys.ATTEMPT)
    for missing, value in product(contract, (None, "", "0x1", "-1", "'; DROP TABLE effect; --")):
        if (missing, value) == (keys.SAGA_STEP, "0x1"):
            continue  # a step may be called that
        metadata = [(key, text) for key, text in served.caller().metadata(keys.PHASE_ACTION) if key != missing]
        metadata += [] if value is None else [(missing, value)]
        error = await refused(call(served.channel, Reserve, reserve_request(), metadata))
        assert reason(error) == (grpc.StatusCode.INVALID_ARGUMENT, "saga.v1", "MISSING_METADATA", False)
    assert probe.runs == {}


async def test_settle_of_another_step_than_the_metadata_says(served: Served) -> None:
    caller = served.caller()
    request = settle_pb.SettleRequest(saga_id=str(caller.saga_id), step="other")
    error = await refused(call(served.channel, ParticipantService.Settle, request, caller.metadata(keys.PHASE_SETTLE)))
    assert reason(error)[2] == "MISSING_METADATA"


async def test_invalid_request_never_reaches_the_barrier(served: Served) -> None:
    caller = served.caller()
    error = await refused(caller.act(Reserve, reserve_request(quantity=0)))
    assert reason(error) == (grpc.StatusCode.INVALID_ARGUMENT, "saga.v1", "INVALID_REQUEST", False)
    assert await served.row(caller) == {}
