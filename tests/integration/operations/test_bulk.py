"""Bulk actions: dry run, bounded rate, progress, a node that dies in the middle, and what the audit shows."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_pb2

from orchestrator.core.state import SagaStatus
from tests.integration.engine.played import OK, REJECTED
from tests.integration.operations.conftest import CALL_S, Door, close_door, open_door, told
from tests.integration.operations.test_actions import REFUSED

STUCK = op.SagaQuery(states=[saga_pb2.SAGA_STATE_STUCK])
RETRY = op.BulkAction(action=op.OPERATOR_ACTION_RETRY)


async def many_stuck(door: Door, count: int) -> list[uuid.UUID]:
    door.rig.world.answers |= {"ship/action": REJECTED, "charge/compensation": REFUSED}
    started = await asyncio.gather(*(door.node.start("line") for _ in range(count)))
    await asyncio.gather(*(door.node.ends(saga_id, SagaStatus.STUCK) for saga_id in started))
    door.rig.world.answers["charge/compensation"] = OK
    return list(started)


def start(**more: Any) -> pb.StartBulkRequest:
    fields: dict[str, Any] = {"request_id": "bulk-1", "query": STUCK, "action": RETRY, "reason": "refunds work again"}
    return pb.StartBulkRequest(**{**fields, "rate_per_s": 1000.0, **more})


async def watch(door: Door, bulk_id: str) -> op.Bulk:
    """Follows a bulk to its end."""
    stream = door.stub.WatchBulk(pb.WatchBulkRequest(bulk_id=bulk_id), timeout=CALL_S)
    *_, last = [each.bulk async for each in stream]
    return last  # type: ignore[no-any-return]  # the stub is not typed


async def test_a_dry_run_counts_and_plans_and_stores_nothing(door: Door) -> None:
    await many_stuck(door, 12)
    answer = await door.stub.StartBulk(start(validate_only=True, max_sagas=11), timeout=CALL_S)
    assert (answer.bulk.members, answer.bulk.left_out, len(answer.sample)) == (11, 1, 10)
    assert all(each.plan.allowed and len(each.plan.calls) == 2 for each in answer.sample)
    assert not (await door.stub.ListBulks(pb.ListBulksRequest(), timeout=CALL_S)).bulks
    assert not (await door.stub.ListAudit(pb.ListAuditRequest(), timeout=CALL_S)).entries


async def test_a_bulk_repairs_every_member_and_tells_how_far_it_is(door: Door) -> None:
    started = await many_stuck(door, 15)
    bulk = (await door.stub.StartBulk(start(), timeout=CALL_S)).bulk
    last = await watch(door, bulk.bulk_id)
    assert (last.state, last.granted, last.refused) == (op.BULK_STATE_DONE, 15, 0)
    await asyncio.gather(*(door.node.ends(saga_id, SagaStatus.COMPENSATED) for saga_id in started))
    members = await door.stub.ListBulkMembers(pb.ListBulkMembersRequest(bulk_id=bulk.bulk_id), timeout=CALL_S)
    assert {each.saga_id for each in members.members} == {str(saga_id) for saga_id in started}
    log = (await door.stub.ListAudit(pb.ListAuditRequest(), timeout=CALL_S)).entries
    assert [(entry.action, entry.members) for entry in log] == [(op.OPERATOR_ACTION_START_BULK, 15)]
    both = pb.ListAuditRequest(filter=pb.AuditFilter(bulk_id=bulk.bulk_id))
    assert len((await door.stub.ListAudit(both, timeout=CALL_S)).entries) == 16
    again = await door.stub.StartBulk(start(), timeout=CALL_S)
    assert (again.already_started, again.bulk.bulk_id) == (True, bulk.bulk_id)
    door.rig.check_epochs()


async def test_another_node_goes_on_where_one_died(door: Door) -> None:
    started = await many_stuck(door, 8)
    await door.operators.orders.stop()
    bulk = (await door.stub.StartBulk(start(rate_per_s=1000.0), timeout=CALL_S)).bulk
    bulk_id = uuid.UUID(bulk.bulk_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch(door, bulk.bulk_id)
    assert told(caught.value).reason == "NODE_DRAINING"
    taken = await door.node.real_store.take_members(bulk_id, 3)
    assert len(taken) == 3, "and then the node dies"
    await door.rig.db.execute(
        "UPDATE bulk_member SET begun_at = begun_at - interval '1 minute' WHERE begun_at IS NOT NULL"
    )
    other = await open_door(door.rig, await door.rig.node())
    try:
        last = await watch(other, bulk.bulk_id)
        assert (last.state, last.granted) == (op.BULK_STATE_DONE, 8)
        await asyncio.gather(*(other.node.ends(saga_id, SagaStatus.COMPENSATED) for saga_id in started))
    finally:
        await close_door(other)


async def test_the_rate_is_shared_by_all_nodes(door: Door) -> None:
    await many_stuck(door, 6)
    await door.operators.orders.stop()
    bulk = (await door.stub.StartBulk(start(rate_per_s=0.5), timeout=CALL_S)).bulk
    store, bulk_id = door.node.real_store, uuid.UUID(bulk.bulk_id)
    assert len(await store.take_members(bulk_id, 1)) == 1
    assert len(await store.take_members(bulk_id, 1)) == 0, "not before two seconds have passed"
    await door.rig.db.execute("UPDATE bulk SET next_at = next_at - interval '2 s'")
    taken = await asyncio.gather(store.take_members(bulk_id, 2), store.take_members(bulk_id, 2))
    assert sorted(len(each) for each in taken) == [0, 2], "one node's turn is not another's too"


async def test_a_cancelled_bulk_begins_no_more(door: Door) -> None:
    await many_stuck(door, 4)
    await door.operators.orders.stop()
    bulk = (await door.stub.StartBulk(start(), timeout=CALL_S)).bulk
    cancel = pb.CancelBulkRequest(request_id="cancel", bulk_id=bulk.bulk_id, reason="not these")
    assert (await door.stub.CancelBulk(cancel, timeout=CALL_S)).bulk.state == op.BULK_STATE_CANCELLED
    assert await door.node.real_store.take_members(uuid.UUID(bulk.bulk_id), 10) == []
    again = pb.CancelBulkRequest(request_id="again", bulk_id=bulk.bulk_id, reason="not these")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.stub.CancelBulk(again, timeout=CALL_S)
    assert told(caught.value).reason == "BULK_STATE"


async def test_what_a_cancelled_bulk_had_begun_is_decided_and_its_watch_ends(door: Door) -> None:
    """One of the two was asked for in time; the other was begun by a node that died before it could ask."""
    started = await many_stuck(door, 4)
    await door.operators.orders.stop()
    bulk = (await door.stub.StartBulk(start(), timeout=CALL_S)).bulk
    store, bulk_id = door.node.real_store, uuid.UUID(bulk.bulk_id)
    taken = await store.take_members(bulk_id, 2)
    await door.rig.db.execute(
        "UPDATE bulk_member SET begun_at = begun_at - interval '1 minute' WHERE begun_at IS NOT NULL"
    )
    await door.rig.db.execute("UPDATE bulk SET next_at = next_at - interval '1 minute'")
    cancel = pb.CancelBulkRequest(request_id="cancel", bulk_id=bulk.bulk_id, reason="not these")
    assert (await door.stub.CancelBulk(cancel, timeout=CALL_S)).bulk.state == op.BULK_STATE_CANCELLED
    door.operators.orders.has_stopped = False  # the node that is asked lives
    last = await watch(door, bulk.bulk_id)
    assert (last.state, last.granted, last.in_progress) == (op.BULK_STATE_CANCELLED, 2, 0)
    await asyncio.gather(*(door.node.ends(saga_id, SagaStatus.COMPENSATED) for saga_id in taken))
    rest = pb.ListBulkMembersRequest(bulk_id=bulk.bulk_id, outcome=op.AUDIT_OUTCOME_PENDING)
    members = (await door.stub.ListBulkMembers(rest, timeout=CALL_S)).members
    assert {each.saga_id for each in members} == {str(each) for each in started} - {str(each) for each in taken}


async def test_members_that_cannot_be_helped_are_refused_with_the_reason(door: Door) -> None:
    await many_stuck(door, 2)
    action = op.BulkAction(action=op.OPERATOR_ACTION_FORCE_COMPENSATION)
    bulk = (await door.stub.StartBulk(start(action=action), timeout=CALL_S)).bulk
    last = await watch(door, bulk.bulk_id)
    assert (last.granted, last.refused) == (0, 2)
    request = pb.ListBulkMembersRequest(bulk_id=bulk.bulk_id, outcome=op.AUDIT_OUTCOME_REFUSED)
    members = (await door.stub.ListBulkMembers(request, timeout=CALL_S)).members
    assert [each.refusal.reason for each in members] == ["SAGA_STATE", "SAGA_STATE"]


async def test_a_bulk_on_everything_is_not_meant(door: Door) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.stub.StartBulk(start(query=op.SagaQuery()), timeout=CALL_S)
    assert told(caught.value).reason == "INVALID_REQUEST"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.stub.GetBulk(pb.GetBulkRequest(bulk_id=str(uuid.UUID(int=1))), timeout=CALL_S)
    assert told(caught.value).reason == "BULK_NOT_FOUND"
