"""What operators do to a traced saga shows in its trace, and so does a saga that no program can run."""

import itertools
from typing import Any
from uuid import UUID

import grpc
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_pb2
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub
from saga.v1.saga_service_pb2 import GetSagaRequest
from saga.v1.saga_service_pb2_grpc import SagaServiceStub
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.app import Node
from participants.kit import Rejected, StepContext
from tests.fixtures.collector import Collector
from tests.fixtures.postgres import connect
from tests.integration.participants.probe import Gate
from tests.integration.telemetry.conftest import CALL_S, Stage

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REASON = "because of order 4711"
_numbers = itertools.count(1)


async def act(stage: Stage, node: Node, name: str, saga_id: UUID, **more: Any) -> None:
    """One action of an operator, on the saga as it is."""
    channel = await stage.channel(node)
    found = await SagaServiceStub(channel).GetSaga(GetSagaRequest(saga_id=str(saga_id)), timeout=CALL_S)
    request = getattr(pb, f"{name}Request")(
        request_id=f"act-{next(_numbers)}",
        saga_id=str(saga_id),
        expected_version=found.saga.last_seq,
        reason=REASON,
        **more,
    )
    await getattr(SagaOperatorServiceStub(channel), name)(request, timeout=CALL_S)


async def test_a_saga_that_an_operator_moves_on_tells_of_the_rest(stage: Stage, collector: Collector) -> None:
    refuses = {"undo": True}

    async def on_action(step: StepContext, _db: AsyncConnection) -> None:
        if step.step == "second":
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "SOLD_OUT", "none left")

    async def on_undo(_step: StepContext, _db: AsyncConnection) -> None:
        if refuses["undo"]:
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_SHIPPED", "too late")

    stage.probe.on_action, stage.probe.on_undo = on_action, on_undo
    node = await stage.node(traces_endpoint=collector.url)
    saga_id = await stage.start(node, SAMPLED)
    assert await stage.ends(node, saga_id) == saga_pb2.SAGA_STATE_STUCK
    await collector.saga(saga_id)
    refuses["undo"] = False
    await act(stage, node, "RetryCompensation", saga_id)
    trace = await collector.saga(saga_id, count=2)
    assert await stage.ends(node, saga_id) == saga_pb2.SAGA_STATE_COMPENSATED
    stuck, rest = sorted((span for span in trace if span.name == "saga pair"), key=lambda span: span.began_ns)
    assert (stuck.attributes["saga.state"], rest.attributes["saga.state"]) == ("STUCK", "COMPENSATED")
    assert rest.parent_id == stuck.span_id != rest.span_id
    assert stuck.ended_ns <= rest.began_ns
    assert "saga.stuck" not in [name for name, _ in rest.events], "that was told"
    assert "saga.step_retried" in [name for name, _ in rest.events]
    assert not any(REASON.encode() in span.raw for span in collector.spans)


async def test_a_pause_is_a_wait(stage: Stage, collector: Collector) -> None:
    gate = Gate()

    async def on_action(step: StepContext, db: AsyncConnection) -> None:
        if step.step == "first":
            await gate(step, db)

    stage.probe.on_action = on_action
    node = await stage.node(traces_endpoint=collector.url)
    saga_id = await stage.start(node, SAMPLED)
    await gate.entered.wait()
    await act(stage, node, "PauseSaga", saga_id)
    await act(stage, node, "ResumeSaga", saga_id)
    gate.opened.set()
    assert await stage.ends(node, saga_id) == saga_pb2.SAGA_STATE_COMPLETED
    trace = await collector.saga(saga_id)
    (pause,) = [span for span in trace if span.name == "paused"]
    (saga,) = [span for span in trace if span.name == "saga pair"]
    assert pause.parent_id == saga.span_id
    assert pause.attributes["saga.wait"] == "paused"
    assert pause.ended_ns > pause.began_ns
    assert {"saga.paused", "saga.unpaused"} <= {name for name, _ in saga.events}


async def test_a_saga_that_cannot_be_run_tells_that_it_is_stuck(stage: Stage, collector: Collector) -> None:
    gate = Gate()

    async def on_action(step: StepContext, db: AsyncConnection) -> None:
        await gate(step, db)

    stage.probe.on_action = on_action
    doomed = await stage.node(traces_endpoint=collector.url)
    saga_id = await stage.start(doomed, SAMPLED)
    await gate.entered.wait()
    db = await connect(stage.url)
    await db.execute("UPDATE saga SET input = '\\xff' WHERE saga_id = $1", saga_id)
    await db.close()
    survivor = await stage.node(traces_endpoint=collector.url)
    await stage.kill(doomed)
    gate.opened.set()
    assert await stage.ends(survivor, saga_id) == saga_pb2.SAGA_STATE_STUCK
    trace = await collector.saga(saga_id)
    (saga,) = [span for span in trace if span.name == "saga pair"]
    assert saga.instance == "node-1"
    assert saga.failed
    assert (saga.attributes["saga.state"], saga.attributes["saga.stuck_reason"]) == ("STUCK", "INPUT_UNREADABLE")
