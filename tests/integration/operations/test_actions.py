"""Every action, end to end: asked over gRPC, decided by the saga's owner, carried out at played participants."""

import asyncio
from uuid import UUID

import grpc
import pytest
from payment.v1.payment_pb2 import ChargeResponse
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_pb2

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import Answer
from orchestrator.operations.values import AuditAction, SagaAction
from tests.integration.engine.harness import until
from tests.integration.engine.played import OK, REJECTED, UNAVAILABLE
from tests.integration.operations.conftest import CALL_S, Door, close_door, open_door, told

REFUSED = Answer(9, message="no", reason="NO_REFUND", domain="payment", proven=True)
STATUS = grpc.StatusCode


async def stuck_backward(door: Door) -> UUID:
    """Stuck at the undo of charge; reserve is done."""
    door.rig.world.answers |= {"ship/action": REJECTED, "charge/compensation": REFUSED}
    saga_id = await door.node.start("line")
    await door.node.ends(saga_id, SagaStatus.STUCK)
    return saga_id


async def stuck_past_pivot(door: Door) -> UUID:
    """Stuck at confirm, which must go through."""
    door.rig.world.answers["confirm/action"] = REJECTED
    saga_id = await door.node.start("pivoted")
    await door.node.ends(saga_id, SagaStatus.STUCK)
    return saga_id


async def test_a_compensation_is_retried(door: Door) -> None:
    saga_id = await stuck_backward(door)
    plan = (await door.act("RetryCompensation", saga_id, validate_only=True)).plan
    assert [(call.step, call.phase, call.follows) for call in plan.calls] == [
        ("charge", saga_pb2.PHASE_COMPENSATION, False),
        ("reserve", saga_pb2.PHASE_COMPENSATION, True),
    ]
    assert (plan.allowed, plan.expected_end) == (True, saga_pb2.SAGA_STATE_COMPENSATED)
    epoch = (await door.rig.stored(saga_id)).epoch
    door.rig.world.answers["charge/compensation"] = OK
    before = len(door.rig.world.keys(saga_id))
    answer = await door.act("RetryCompensation", saga_id)
    assert answer.saga.state in {saga_pb2.SAGA_STATE_COMPENSATING, saga_pb2.SAGA_STATE_COMPENSATED}
    await door.node.ends(saga_id, SagaStatus.COMPENSATED)
    assert door.rig.world.keys(saga_id)[before:] == ["charge/compensation", "reserve/compensation"], "as planned"
    assert (await door.rig.stored(saga_id)).epoch > epoch
    state = await door.rig.check_explained(saga_id)
    assert state.failed_step == 2, "what had turned it around"
    door.rig.check_epochs()


async def test_a_stuck_retriable_step_is_judged_anew(door: Door) -> None:
    saga_id = await stuck_past_pivot(door)
    assert await door.refusal("ForceCompensation", saga_id) == (STATUS.FAILED_PRECONDITION, "PAST_PIVOT")
    assert await door.refusal("RetryCompensation", saga_id) == (STATUS.FAILED_PRECONDITION, "SAGA_STATE")
    assert await door.refusal("RetryNow", saga_id, step="nothing") == (STATUS.NOT_FOUND, "STEP_NOT_FOUND")
    door.rig.world.answers["confirm/action"] = OK
    await door.act("RetryNow", saga_id)
    await door.node.ends(saga_id)
    await door.rig.check_explained(saga_id)


async def test_a_waiting_step_is_called_now(door: Door) -> None:
    door.rig.world.answers["take/action"] = UNAVAILABLE
    saga_id = await door.node.start("single")
    await until(lambda: door.rig.world.count("take/action") == 1)
    await until_waiting(door, saga_id)
    door.rig.world.answers["take/action"] = OK
    await door.act("RetryNow", saga_id)
    await door.node.ends(saga_id)
    assert [seen.epoch for seen in door.rig.world.calls if seen.saga_id == str(saga_id)] == [1, 2]
    await door.rig.check_explained(saga_id)


async def until_waiting(door: Door, saga_id: UUID) -> None:
    async with asyncio.timeout(CALL_S):
        while (await door.rig.stored(saga_id)).row.waiting_step is None:  # noqa: ASYNC110  (a row has no event)
            await asyncio.sleep(0.01)


async def test_a_step_is_skipped_with_a_typed_response_after_it_was_settled(door: Door) -> None:
    door.rig.world.answers["charge/action"] = Answer(16, message="who are you?")
    saga_id = await door.node.start("line")
    await until_waiting(door, saga_id)
    assert await door.refusal("SkipStep", saga_id) == (STATUS.FAILED_PRECONDITION, "SAGA_STATE")
    odd = await door.refusal("SkipStep", saga_id, response_json='{"nonsense": 1}')
    assert odd == (STATUS.INVALID_ARGUMENT, "INVALID_REQUEST")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.act("SkipStep", saga_id, response_json='{"paymentId": ["cnry7f3a"]}')
    told = f"{caught.value.details()} {list(caught.value.trailing_metadata() or ())}"
    assert "look at paymentId" in told
    assert "cnry7f3a" not in told, "it says where, and not what"
    plan = (await door.act("SkipStep", saga_id, validate_only=True, response_json='{"paymentId": "by hand"}')).plan
    assert [(call.step, call.phase) for call in plan.calls][:2] == [
        ("charge", saga_pb2.PHASE_SETTLE),
        ("ship", saga_pb2.PHASE_ACTION),
    ]
    await door.act("SkipStep", saga_id, response_json='{"paymentId": "by hand"}')
    await door.node.ends(saga_id)
    shipped = [seen.request for seen in door.rig.world.calls if seen.key == "ship/action"]
    assert b"by hand" in shipped[0]
    assert door.rig.world.keys(saga_id).count("charge/settle") == 1
    assert "charge/action" not in [key for (_, key) in door.rig.world.effects]
    state = await door.rig.check_explained(saga_id)
    assert ChargeResponse.FromString(state.steps[1].response or b"").payment_id == "by hand"


async def test_an_undo_is_skipped_and_the_saga_resolved(door: Door) -> None:
    saga_id = await stuck_backward(door)
    await door.act("SkipStep", saga_id)
    await door.node.ends(saga_id, SagaStatus.RESOLVED)
    assert door.rig.world.keys(saga_id)[-2:] == ["charge/settle", "reserve/compensation"]
    await door.rig.check_explained(saga_id)


async def test_a_running_saga_is_turned_around(door: Door) -> None:
    door.rig.world.answers["take/action"] = UNAVAILABLE
    saga_id = await door.node.start("single")
    await until_waiting(door, saga_id)
    await door.act("ForceCompensation", saga_id)
    await door.node.ends(saga_id, SagaStatus.COMPENSATED)
    await door.rig.check_explained(saga_id)


async def test_a_stuck_saga_is_resolved_once_what_may_have_run_is_settled(door: Door) -> None:
    saga_id = await stuck_backward(door)
    assert (
        await door.act("ResolveSaga", saga_id, validate_only=True)
    ).plan.expected_end == saga_pb2.SAGA_STATE_RESOLVED
    await door.act("ResolveSaga", saga_id)
    await door.node.ends(saga_id, SagaStatus.RESOLVED)
    assert sorted(door.rig.world.keys(saga_id)[-2:]) == ["charge/settle", "reserve/settle"]
    state = await door.rig.check_explained(saga_id)
    assert [step.status.name for step in state.steps] == ["SUCCEEDED", "SUCCEEDED", "REJECTED"]
    assert await door.refusal("RetryNow", saga_id) == (STATUS.FAILED_PRECONDITION, "SAGA_STATE")


async def test_a_paused_saga_leaves_memory_and_comes_back(door: Door) -> None:
    gate = door.rig.world.gates["reserve/action"] = asyncio.Event()
    saga_id = await door.node.start("line")
    await until(lambda: door.rig.world.count("reserve/action") == 1)
    answer = await door.act("PauseSaga", saga_id)
    assert answer.saga.HasField("pause_time")
    gate.set()
    await until(lambda: not door.node.engine.has_run(saga_id), "it is let go once its attempt has ended")
    assert door.rig.world.keys(saga_id) == ["reserve/action"]
    stored = await door.rig.stored(saga_id)
    assert (stored.owner, stored.wake_at_us, stored.row.paused_us is not None) == (None, None, True)
    found = await door.stub.SearchSagas(pb.SearchSagasRequest(query=op.SagaQuery(paused=True)), timeout=CALL_S)
    assert [each.saga.saga_id for each in found.sagas] == [str(saga_id)]
    assert await door.refusal("RetryNow", saga_id) == (STATUS.FAILED_PRECONDITION, "SAGA_STATE")
    await door.act("ResumeSaga", saga_id)
    await door.node.ends(saga_id)
    await door.rig.check_explained(saga_id)


async def test_of_two_operators_one_wins_and_one_is_told(door: Door) -> None:
    saga_id = await stuck_backward(door)
    other = await open_door(door.rig, await door.rig.node())
    try:
        seen = await door.version(saga_id)
        door.rig.world.answers["charge/compensation"] = OK
        # Whoever wins, the saga has not ended by the time that the other one asks.
        gate = door.rig.world.gates["reserve/compensation"] = asyncio.Event()
        answers = await asyncio.gather(
            door.act("RetryCompensation", saga_id, seen=seen, request_id="first"),
            other.act("SkipStep", saga_id, seen=seen, request_id="second"),
            return_exceptions=True,
        )
        gate.set()
        failed = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
        assert len(failed) == 1, answers
        assert (failed[0].code(), told(failed[0]).reason) == (STATUS.ABORTED, "VERSION_CHANGED")
        request = pb.ListAuditRequest(filter=pb.AuditFilter(saga_id=str(saga_id)))
        log = (await other.stub.ListAudit(request, timeout=CALL_S)).entries
        assert sorted(entry.request_id for entry in log) == ["first", "second"]
        outcomes = {entry.outcome: entry.refusal.reason for entry in log}
        assert outcomes == {op.AUDIT_OUTCOME_GRANTED: "", op.AUDIT_OUTCOME_REFUSED: "VERSION_CHANGED"}
        assert all(entry.reason == "a test" and entry.caller == "local" for entry in log)
    finally:
        await close_door(other)


async def test_a_repeated_request_is_asked_only_once(door: Door) -> None:
    saga_id = await stuck_backward(door)
    seen = await door.version(saga_id)
    await door.act("SkipStep", saga_id, seen=seen, request_id="same")
    await door.act("SkipStep", saga_id, seen=seen, request_id="same")
    assert await door.refusal("RetryNow", saga_id, seen=seen, request_id="same") == (
        STATUS.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
    )
    late = await door.refusal("RetryNow", saga_id, seen=seen, request_id="late")
    assert late[1] in {"VERSION_CHANGED", "SAGA_STATE"}
    assert await door.refusal("RetryNow", saga_id, seen=seen, request_id="late") == late, "the same answer again"


async def test_unknown_sagas_and_versions_from_the_future(door: Door) -> None:
    nobody = UUID(int=7)
    assert await door.refusal("RetryNow", nobody, seen=1) == (STATUS.NOT_FOUND, "SAGA_NOT_FOUND")
    saga_id = await stuck_backward(door)
    assert await door.refusal("RetryNow", saga_id, seen=10_000) == (STATUS.ABORTED, "VERSION_CHANGED")


@pytest.mark.parametrize("method", ["RetryNow", "SkipStep", "ForceCompensation", "ResolveSaga", "PauseSaga"])
async def test_what_is_only_validated_changes_nothing(door: Door, method: str) -> None:
    saga_id = await stuck_backward(door)
    before = await door.rig.stored(saga_id)
    answer = await door.act(method, saga_id, validate_only=True)
    assert answer.plan.allowed == (method not in {"ForceCompensation", "PauseSaga"})
    assert await door.rig.stored(saga_id) == before
    assert not (await door.stub.ListAudit(pb.ListAuditRequest(), timeout=CALL_S)).entries


async def test_a_saga_that_nobody_can_advance_answers_and_is_not_claimed_again_and_again(door: Door) -> None:
    saga_id = await stuck_backward(door)
    await door.rig.db.execute("UPDATE saga SET input = '\\xffffff' WHERE saga_id = $1", saga_id)
    seen = await door.version(saga_id)
    number = await door.node.real_store.add_action(
        SagaAction(saga_id, AuditAction.RETRY, "ann", "poison", "because", seen)
    )
    refusal = await door.node.engine.decided(saga_id, number, CALL_S)
    assert refusal is not None
    assert refusal.reason == "INPUT_UNREADABLE"
    stored = await door.rig.stored(saga_id)
    assert (stored.owner, stored.row.status, stored.last_seq) == (None, SagaStatus.STUCK, seen + 2), "claimed, answered"


async def test_an_action_is_heard_by_the_owner_on_another_node(door: Door) -> None:
    other = await door.rig.node()
    door.rig.world.answers["take/action"] = UNAVAILABLE
    saga_id = await other.start("single")
    await until_waiting(door, saga_id)
    door.rig.world.answers["take/action"] = OK
    await door.act("RetryNow", saga_id)
    await door.node.ends(saga_id)
    await door.rig.check_explained(saga_id)
    door.rig.check_epochs()


async def test_a_resolution_survives_the_death_of_its_node(door: Door) -> None:
    saga_id = await stuck_backward(door)
    door.rig.world.gates["charge/settle"] = asyncio.Event()
    other = await door.rig.node()
    await door.act("ResolveSaga", saga_id)
    stored = await door.rig.stored(saga_id)
    owner = next(node for node in door.rig.nodes if node.node_id == stored.owner)
    await until(lambda: door.rig.world.count("charge/settle") == 1)
    await door.rig.kill(owner)
    door.rig.world.gates["charge/settle"].set()
    survivor = other if owner is door.node else door.node
    await survivor.ends(saga_id, SagaStatus.RESOLVED)
    await door.rig.check_explained(saga_id)
