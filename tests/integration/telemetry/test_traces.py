"""One trace from the caller's RPC through every attempt into the participant's handlers and their database work."""

from collections import Counter

import grpc
from saga.v1 import saga_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from participants.kit import Busy, Rejected, StepContext
from tests.fixtures.collector import Collector, Span, of_saga
from tests.integration.participants.probe import Gate
from tests.integration.telemetry.conftest import Stage

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{CALLER}-01"
UNSAMPLED = f"00-{TRACE}-{CALLER}-00"
SECRET = "order-of-a-secret"


def by_kind(spans: list[Span], kind: str, step: str = "") -> list[Span]:
    return sorted((span for span in spans if span.kind == kind and step in {"", span.step}), key=lambda s: s.began_ns)


def attempts(spans: list[Span], step: str = "") -> list[Span]:
    return [span for span in by_kind(spans, "CLIENT", step) if "saga.outcome" in span.attributes]


def handlers(spans: list[Span], step: str = "") -> list[Span]:
    return [span for span in by_kind(spans, "SERVER", step) if span.service == "probe"]


def own(spans: list[Span]) -> list[Span]:
    return [span for span in spans if span.name == "saga pair"]


def complete(spans: list[Span]) -> bool:
    """Whether every attempt's handler, and its transaction, has arrived too."""
    ids = {span.parent_id for span in handlers(spans)}
    transactions = {span.parent_id for span in spans if span.name == "transaction"}
    return all(a.span_id in ids for a in attempts(spans)) and {h.span_id for h in handlers(spans)} <= transactions


async def test_the_callers_trace_leads_into_the_participants_database(stage: Stage, collector: Collector) -> None:
    node = await stage.node(traces_endpoint=collector.url)
    saga_id = await stage.start(node, SAMPLED, order_id=SECRET)
    assert await stage.ends(node, saga_id) == saga_pb2.SAGA_STATE_COMPLETED
    await collector.saga(saga_id)
    await collector.until(complete, "handlers and transactions")
    trace = [span for span in collector.spans if span.trace_id == TRACE]

    (started,) = [span for span in trace if span.name == "saga.v1.SagaService/StartSaga"]
    assert (started.parent_id, started.kind, started.service) == (CALLER, "SERVER", "saga-orchestrator")
    assert of_saga(started, saga_id)
    (saga,) = own(trace)
    assert saga.parent_id == started.span_id
    assert saga.attributes["saga.state"] == "COMPLETED"
    assert [(span.step, span.attributes["saga.outcome"]) for span in attempts(trace)] == [
        ("first", "success"),
        ("second", "success"),
    ]
    for span in attempts(trace):
        assert span.parent_id == saga.span_id
        assert span.name == span.attributes["rpc.method"] == "inventory.v1.InventoryService/Reserve"
        assert span.attributes["rpc.system.name"] == "grpc"
        assert span.attributes["rpc.response.status_code"] == "OK"
        assert f"{span.attributes['server.address']}:{span.attributes['server.port']}" == stage.participant
        (handler,) = [each for each in handlers(trace) if each.parent_id == span.span_id]
        assert handler.attributes["saga.barrier.outcome"] == "ran"
        assert handler.attributes["saga.attempt"] == span.attributes["saga.attempt"] == 1
        assert of_saga(handler, saga_id)
        (transaction,) = [each for each in trace if each.parent_id == handler.span_id]
        assert (transaction.kind, transaction.attributes["db.system.name"]) == ("CLIENT", "postgresql")
        assert transaction.attributes["db.namespace"]
        assert not transaction.failed
    assert not any(SECRET.encode() in span.raw for span in collector.spans)


async def test_retries_waits_and_compensations_show(stage: Stage, collector: Collector) -> None:
    tried: Counter[str] = Counter()

    async def on_action(step: StepContext, _db: AsyncConnection) -> None:
        tried[step.step] += 1
        if step.step == "first" and tried["first"] == 1:
            raise Busy(0.05)
        if step.step == "second":
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "SOLD_OUT", f"none left of {SECRET}")

    stage.probe.on_action = on_action
    node = await stage.node(traces_endpoint=collector.url)
    saga_id = await stage.start(node, SAMPLED)
    assert await stage.ends(node, saga_id) == saga_pb2.SAGA_STATE_COMPENSATED
    await collector.saga(saga_id)
    await collector.until(complete, "handlers and transactions")
    trace = collector.spans

    (saga,) = own(trace)
    assert saga.attributes["saga.state"] == "COMPENSATED"
    assert saga.attributes["saga.failed_step"] == "second"
    assert saga.attributes["saga.failure.reason"] == "SOLD_OUT"
    assert [name for name, _ in saga.events] == ["saga.compensation_started"]
    assert not saga.failed
    told = [
        (span.step, span.attributes["saga.phase"], span.attributes["saga.outcome"], span.failed)
        for span in attempts(trace)
    ]
    assert told == [
        ("first", "action", "busy", True),
        ("first", "action", "success", False),
        ("second", "action", "rejected", True),
        ("first", "compensation", "success", False),
    ]
    busy, again, rejected, _ = attempts(trace)
    assert busy.attributes["rpc.response.status_code"] == "RESOURCE_EXHAUSTED"
    assert [span.attributes["saga.attempt"] for span in (busy, again)] == [1, 2]
    (wait,) = [span for span in trace if span.name == "wait first"]
    assert wait.attributes["saga.wait"] == "backoff"
    assert wait.parent_id == saga.span_id
    assert busy.ended_ns <= wait.ended_ns == again.began_ns
    assert wait.ended_ns - wait.began_ns >= 50_000_000
    outcomes = [span.attributes["saga.barrier.outcome"] for span in handlers(trace)]
    assert outcomes == ["busy", "ran", "rejected", "undone"]
    assert rejected.attributes["error.type"] == "FAILED_PRECONDITION"
    assert not any(SECRET.encode() in span.raw for span in trace), "a participant's words stay out"


async def test_a_blocked_step_and_a_stuck_saga_show(stage: Stage, collector: Collector) -> None:
    async def on_action(step: StepContext, _db: AsyncConnection) -> None:
        if step.step == "second":
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "SOLD_OUT", "none left")

    async def on_undo(_step: StepContext, _db: AsyncConnection) -> None:
        raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_SHIPPED", "too late")

    stage.probe.on_action, stage.probe.on_undo = on_action, on_undo
    node = await stage.node(traces_endpoint=collector.url)
    node.engine.hold("inventory.v1.InventoryService")
    saga_id = await stage.start(node, SAMPLED)
    await collector.until(lambda spans: any(s.name.endswith("StartSaga") for s in spans))
    node.engine.release("inventory.v1.InventoryService")
    assert await stage.ends(node, saga_id) == saga_pb2.SAGA_STATE_STUCK
    trace = await collector.saga(saga_id)
    (saga,) = own(trace)
    assert saga.failed
    assert saga.attributes["saga.state"] == "STUCK"
    assert saga.attributes["saga.stuck_reason"] == "ALREADY_SHIPPED"
    assert [name for name, _ in saga.events] == ["saga.compensation_started", "saga.stuck"]
    (wait,) = [span for span in trace if span.name == "wait first"]
    assert (wait.attributes["saga.wait"], wait.attributes["saga.failure.reason"]) == ("blocked", "PARTICIPANT_HELD")


async def test_who_takes_over_goes_on_with_the_trace_and_links_the_attempt_that_died(
    stage: Stage, collector: Collector
) -> None:
    gate = Gate()

    async def on_action(step: StepContext, db: AsyncConnection) -> None:
        if step.step == "second" and step.epoch == 1:
            await gate(step, db)

    stage.probe.on_action = on_action
    doomed = await stage.node(traces_endpoint=collector.url)
    saga_id = await stage.start(doomed, SAMPLED)
    await gate.entered.wait()
    survivor = await stage.node(traces_endpoint=collector.url)
    await stage.kill(doomed)
    gate.opened.set()
    assert await stage.ends(survivor, saga_id) == saga_pb2.SAGA_STATE_COMPLETED
    trace = await collector.saga(saga_id)
    assert {span.trace_id for span in trace} == {TRACE}
    (saga,) = own(trace)
    assert saga.instance == "node-1"
    (first,) = attempts(trace, "first")
    assert first.instance == "node-0"
    assert first.parent_id == saga.span_id, "both nodes name the saga's span alike"
    assert not first.links
    again = attempts(trace, "second")[-1]
    assert (again.instance, again.attributes["saga.epoch"], again.attributes["saga.attempt"]) == ("node-1", 2, 1)
    await collector.until(lambda spans: len(handlers(spans, "second")) == 2, "both handlers of the second step")
    died, _ = handlers(collector.spans, "second")
    assert died.attributes["saga.epoch"] == 1
    assert again.links == (died.parent_id,), "the call that died is the one whose handler still told"
    ((name, told),) = saga.events
    assert name == "saga.resumed"
    assert told["saga.epoch"] == 2
    assert told["saga.crashed"] is True


async def test_what_nobody_samples_costs_no_span_and_its_trace_is_handed_on(stage: Stage, collector: Collector) -> None:
    seen: list[str] = []

    async def on_action(step: StepContext, _db: AsyncConnection) -> None:
        seen.append(step.trace_id)

    stage.probe.on_action = on_action
    traced = await stage.node(traces_endpoint=collector.url, traces_ratio=0)
    off = await stage.node()
    for node, traceparent in ((traced, UNSAMPLED), (off, UNSAMPLED), (traced, None)):
        assert await stage.ends(node, await stage.start(node, traceparent)) == saga_pb2.SAGA_STATE_COMPLETED
    assert seen[:4] == [TRACE] * 4
    saga_id = await stage.start(traced, SAMPLED)
    await stage.ends(traced, saga_id)
    await collector.saga(saga_id)
    assert all(of_saga(span, saga_id) or span.name == "transaction" for span in collector.spans), "of this one alone"


async def test_a_node_samples_those_who_do_not_say(stage: Stage, collector: Collector) -> None:
    node = await stage.node(traces_endpoint=collector.url, traces_ratio=1)
    saga_id = await stage.start(node)
    await stage.ends(node, saga_id)
    trace = await collector.saga(saga_id)
    (started,) = [span for span in trace if span.name == "saga.v1.SagaService/StartSaga"]
    assert started.parent_id == ""
    assert own(trace)[0].parent_id == started.span_id
    assert len(attempts(trace)) == 2
