"""What operators see: lists, counts, details, explanations, the overview."""

import json
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_pb2

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import Answer
from tests.integration.engine.harness import until
from tests.integration.engine.played import REJECTED
from tests.integration.operations.conftest import CALL_S, Door, told
from tests.integration.operations.test_actions import stuck_backward, stuck_past_pivot, until_waiting

MISCONFIGURED = Answer(16, message="who are you?")


async def search(door: Door, **query: Any) -> list[op.SagaSummary]:
    answer = await door.stub.SearchSagas(pb.SearchSagasRequest(query=op.SagaQuery(**query)), timeout=CALL_S)
    return list(answer.sagas)


async def ids(door: Door, **query: Any) -> set[str]:
    return {each.saga.saga_id for each in await search(door, **query)}


async def test_sagas_are_found_by_what_is_wrong_with_them(door: Door) -> None:
    backward, past = str(await stuck_backward(door)), str(await stuck_past_pivot(door))
    door.rig.world.answers.clear()
    door.rig.world.answers["reserve/action"] = MISCONFIGURED
    blocked_id = await door.node.start("line")
    await until_waiting(door, blocked_id)
    blocked = str(blocked_id)
    del door.rig.world.answers["reserve/action"]
    door.rig.world.answers["take/action"] = REJECTED
    undone_id = await door.node.start("single")
    await door.node.ends(undone_id, SagaStatus.COMPENSATED)
    undone = str(undone_id)
    stuck = saga_pb2.SAGA_STATE_STUCK
    assert await ids(door) == {backward, past, blocked, undone}
    assert await ids(door, states=[stuck]) == {backward, past}
    assert await ids(door, states=[stuck], definition="line") == {backward}
    assert await ids(door, live=True) == {backward, past, blocked}
    assert await ids(door, step="charge") == {backward}
    assert await ids(door, live=True, participant="inventory.v1.InventoryService") == {past, blocked}
    assert await ids(door, reason="UNAUTHENTICATED") == {blocked}
    assert await ids(door, states=[saga_pb2.SAGA_STATE_COMPENSATED]) == {undone}
    assert await ids(door, states=[saga_pb2.SAGA_STATE_COMPENSATED], reason="OUT_OF_STOCK") == {undone}
    assert await ids(door, saga_ids=[undone, backward]) == {undone, backward}
    assert await ids(door, caller="nobody") == set()
    assert await ids(door, min_age=Duration(seconds=3600)) == set()
    assert await ids(door, paused=False) == {backward, past, blocked, undone}
    request_id = (await door.rig.stored(undone_id)).request_id
    assert await ids(door, request_id=request_id) == {undone}
    kinds = [op.ATTENTION_KIND_STUCK, op.ATTENTION_KIND_BLOCKED]
    assert await ids(door, attention=kinds[:1]) == {backward, past}
    (waiting,) = await search(door, live=True, step="reserve")
    assert (waiting.participant, waiting.reason) == ("inventory.v1.InventoryService", "UNAUTHENTICATED")
    assert waiting.saga.blocked_reason.startswith("UNAUTHENTICATED")
    assert waiting.saga.HasField("block_time")
    await door.rig.db.execute("SELECT pg_sleep(0.06)")  # the test's policy calls that too long a block
    assert await ids(door, attention=kinds) == {backward, past, blocked}
    count = await door.stub.CountSagas(pb.CountSagasRequest(query=op.SagaQuery(attention=kinds)), timeout=CALL_S)
    assert (count.sagas, count.at_least) == (3, False)
    assert {(group.kind, group.step, group.sagas) for group in count.attention} == {
        (op.ATTENTION_KIND_STUCK, "charge", 1),
        (op.ATTENTION_KIND_STUCK, "confirm", 1),
        (op.ATTENTION_KIND_BLOCKED, "reserve", 1),
    }


async def test_pages_go_on_where_the_last_one_ended(door: Door) -> None:
    started = [str(await door.node.start("single")) for _ in range(7)]
    query, token, found = op.SagaQuery(definition="single"), "", []
    for _ in range(10):
        request = pb.SearchSagasRequest(query=query, page_size=3, page_token=token)
        page = await door.stub.SearchSagas(request, timeout=CALL_S)
        found += [each.saga.saga_id for each in page.sagas]
        token = page.next_page_token
        if not token:
            break
    assert found == sorted(started, reverse=True)
    request = pb.SearchSagasRequest(query=op.SagaQuery(live=True), page_token="bm9uc2Vuc2U=")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.stub.SearchSagas(request, timeout=CALL_S)
    assert told(caught.value).reason == "PAGE_TOKEN"


async def test_details_tell_every_attempt_and_show_no_secret(door: Door) -> None:
    saga_id = await stuck_backward(door)
    request = pb.GetSagaDetailsRequest(saga_id=str(saga_id))
    details = (await door.stub.GetSagaDetails(request, timeout=CALL_S)).details
    assert details.attention == op.ATTENTION_KIND_STUCK
    assert [(each.step, each.phase, each.outcome) for each in details.attempts] == [
        ("reserve", saga_pb2.PHASE_ACTION, "succeeded"),
        ("charge", saga_pb2.PHASE_ACTION, "succeeded"),
        ("ship", saga_pb2.PHASE_ACTION, "rejected"),
        ("charge", saga_pb2.PHASE_COMPENSATION, "stuck"),
    ]
    last = details.attempts[-1]
    assert (last.failure.reason, last.attempt, last.HasField("end_time")) == ("NO_REFUND", 1, True)
    assert [event.seq for event in details.events] == list(range(1, details.saga.last_seq + 1))
    assert json.loads(details.input.json)["orderId"].startswith("order-")
    assert details.input.type == "inventory.v1.ReserveRequest"
    by_step = {each.step: each for each in details.step_payloads}
    assert json.loads(by_step["charge"].request.json)["orderId"].startswith("order-")
    assert by_step["charge"].compensation_request.type == "payment.v1.RefundRequest"


async def test_an_explanation_names_the_cause_and_every_action(door: Door) -> None:
    saga_id = await stuck_backward(door)
    answer = await door.stub.ExplainSaga(pb.ExplainSagaRequest(saga_id=str(saga_id)), timeout=CALL_S)
    told_of = answer.explanation
    assert "stuck" in told_of.summary
    assert "step charge at payment.v1.PaymentService" in told_of.summary
    assert any("NO_REFUND" in cause for cause in told_of.causes)
    assert not told_of.next, "nothing happens by itself"
    assert told_of.version == answer.saga.last_seq
    assert len(told_of.options) == 7
    allowed = [option.action for option in told_of.options if option.plan.allowed]
    assert allowed == [
        op.OPERATOR_ACTION_RETRY,
        op.OPERATOR_ACTION_RETRY_COMPENSATION,
        op.OPERATOR_ACTION_SKIP_STEP,
        op.OPERATOR_ACTION_RESOLVE,
    ]
    assert all(option.plan.refusal.message for option in told_of.options if not option.plan.allowed)


async def test_a_blocked_saga_says_when_it_tries_again(door: Door) -> None:
    door.rig.world.answers["reserve/action"] = MISCONFIGURED
    saga_id = await door.node.start("line")
    await until_waiting(door, saga_id)
    answer = await door.stub.ExplainSaga(pb.ExplainSagaRequest(saga_id=str(saga_id)), timeout=CALL_S)
    told_of = answer.explanation
    assert "blocked at reserve" in told_of.summary
    assert any("who are you?" in cause for cause in told_of.causes)
    assert any("tries again by itself" in line for line in told_of.next)
    assert any("turns around" in line for line in told_of.next)
    assert told_of.HasField("next_time")


async def test_the_overview_counts_what_runs_and_what_ended(door: Door) -> None:
    for _ in range(3):
        await door.node.ends(await door.node.start("line"))
    await stuck_backward(door)
    request = pb.GetOverviewRequest(window=Duration(seconds=600), buckets=10)
    overview = await door.stub.GetOverview(request, timeout=CALL_S)
    assert sum(bucket.completed for bucket in overview.buckets) == 3
    assert sum(bucket.started for bucket in overview.buckets) == 4
    assert overview.bucket.ToTimedelta() == timedelta(seconds=60)
    assert any(bucket.HasField("duration_p99") for bucket in overview.buckets)
    assert {(count.state, count.sagas) for count in overview.live} == {(saga_pb2.SAGA_STATE_STUCK, 1)}
    assert overview.nodes == 1
    again = await door.stub.GetOverview(request, timeout=CALL_S)
    assert sum(bucket.completed for bucket in again.buckets) == 3
    other = await door.stub.GetOverview(pb.GetOverviewRequest(definition="fan"), timeout=CALL_S)
    assert sum(bucket.started for bucket in other.buckets) == 0


async def test_definitions_say_whether_they_may_go(door: Door) -> None:
    await stuck_backward(door)
    answer = await door.stub.ListDefinitions(pb.ListDefinitionsRequest(), timeout=CALL_S)
    found = {each.name: each for each in answer.definitions}
    assert (found["line"].safe_to_remove, found["line"].stuck, found["line"].nodes) == (False, 1, 1)
    assert (found["fan"].safe_to_remove, found["fan"].verdict) == (True, "safe to remove: no live saga follows it")


async def test_a_held_participant_blocks_its_steps_until_it_is_released(door: Door) -> None:
    service = "payment.v1.PaymentService"
    request = pb.HoldParticipantRequest(request_id="hold", service=service, reason="maintenance")
    held = (await door.stub.HoldParticipant(request, timeout=CALL_S)).participant
    assert (held.held, held.held_by, held.hold_reason) == (True, "local", "maintenance")
    await until(lambda: any(status.held for status in door.node.engine.participants()))
    saga_id = await door.node.start("line")
    await until_waiting(door, saga_id)
    explained = await door.stub.ExplainSaga(pb.ExplainSagaRequest(saga_id=str(saga_id)), timeout=CALL_S)
    assert any("holds every call" in cause for cause in explained.explanation.causes)
    release = pb.ReleaseParticipantRequest(request_id="release", service=service, reason="done")
    assert not (await door.stub.ReleaseParticipant(release, timeout=CALL_S)).participant.held
    await door.node.ends(saga_id)
    odd = pb.HoldParticipantRequest(request_id="odd", service="no.such.Service", reason="x")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.stub.HoldParticipant(odd, timeout=CALL_S)
    assert told(caught.value).reason == "PARTICIPANT_NOT_FOUND"
    log = (await door.stub.ListAudit(pb.ListAuditRequest(), timeout=CALL_S)).entries
    assert [entry.target for entry in log] == [service, service]


async def test_a_request_id_that_was_used_for_something_else_is_refused_not_passed_over(door: Door) -> None:
    inventory, payment = "inventory.v1.InventoryService", "payment.v1.PaymentService"
    used = {"request_id": "used", "reason": "maintenance"}
    hold = pb.HoldParticipantRequest(service=payment, **used)
    for _ in range(2):
        assert (await door.stub.HoldParticipant(hold, timeout=CALL_S)).participant.held, "a repeat is the same"
    (own,) = (await door.stub.ListNodes(pb.ListNodesRequest(), timeout=CALL_S)).nodes
    others = (
        (door.stub.HoldParticipant, pb.HoldParticipantRequest(service=inventory, **used)),
        (door.stub.ReleaseParticipant, pb.ReleaseParticipantRequest(service=payment, **used)),
        (door.stub.DrainNode, pb.DrainNodeRequest(node_id=own.node_id, **used)),
    )
    for method, request in others:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request, timeout=CALL_S)
        assert told(caught.value).reason == "REQUEST_ID_REUSED", request
    log = (await door.stub.ListAudit(pb.ListAuditRequest(), timeout=CALL_S)).entries
    assert [entry.target for entry in log] == [payment]


async def test_a_drained_node_hands_its_sagas_over(door: Door) -> None:
    other = await door.rig.node()
    door.rig.world.answers["take/action"] = MISCONFIGURED
    saga_id = await door.node.start("single")
    await until_waiting(door, saga_id)
    (own,) = [
        node for node in (await door.stub.ListNodes(pb.ListNodesRequest(), timeout=CALL_S)).nodes if node.answering
    ]
    assert (own.sagas, own.alive) == (1, True)
    request = pb.DrainNodeRequest(request_id="drain", node_id=own.node_id, reason="replace the machine")
    assert (await door.stub.DrainNode(request, timeout=CALL_S)).node.node_id == own.node_id
    await until(lambda: other.engine.has_run(saga_id), "the other node has it")
    left = (await door.stub.ListNodes(pb.ListNodesRequest(), timeout=CALL_S)).nodes
    assert [node.node_id for node in left] == [str(other.node_id)]


async def test_whoever_asks_is_told_who_the_node_takes_them_for(door: Door) -> None:
    told = await door.stub.GetIdentity(pb.GetIdentityRequest(), timeout=CALL_S)
    assert (told.name, told.all_tenants) == ("local", True)
    assert "RetryNow" in told.methods
