"""Spans of traced sagas: the saga's own, each attempt's, each wait's. Times are the database's, the same for all nodes.

A saga that is not traced costs an ``if`` each time. What is known of a traced one is kept beside its run, and read off
the journal by whoever resumes it: the saga's span, told at its end, holds what happened on all its nodes.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from opentelemetry.trace import SpanKind

from contracts.call_ends import CODE_NAMES
from contracts.traces.export import Spans
from orchestrator.core.effects import Invoke
from orchestrator.core.events import Event, Failure
from orchestrator.core.inputs import AttemptEnded, BuildFailed, Input
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus
from orchestrator.engine.observing import Observer
from orchestrator.engine.resume import trace_of
from orchestrator.engine.run import SagaRun
from orchestrator.engine.stored import StoredSaga
from orchestrator.engine.tracing import attempt_span, saga_span, wait_span, went_on_span
from orchestrator.telemetry.traces_story import PAUSE, Story, Wait

Attributes = dict[str, str | int | bool]

_NS: Final = 1000
"""Nanoseconds of a microsecond."""
_CANCELLED: Final = 1


class Traces(Observer):
    """Tells a collector of the sagas of one node."""

    def __init__(self, spans: Spans, addresses: Mapping[str, str]) -> None:
        """``addresses``: ``host:port`` of each service that has a single one."""
        self._spans: Final = spans
        self._servers: Final = {service: _server(address) for service, address in addresses.items()}
        self._stories: Final[WeakKeyDictionary[SagaRun, Story]] = WeakKeyDictionary()

    def happened(self, run: SagaRun, event: Event, at_us: int) -> None:
        """See :class:`Observer`, as below."""
        for wait in self._story(run).hear(event, at_us, run.epoch):
            self._tell_wait(run, wait, at_us)

    def recalled(self, run: SagaRun, journal: Iterable[tuple[Event, int, int]]) -> None:
        story = self._story(run)
        for event, at_us, epoch in journal:
            story.recall(event, at_us, epoch)

    def saga_resumed(self, run: SagaRun, *, crashed: bool) -> None:
        if run.trace.sampled:
            self._story(run).resumed(run.state.steps)

    def attempt_ended(
        self, run: SagaRun, invoke: Invoke, path: str, *, began_us: int, duration_s: float, told: Input | None
    ) -> None:
        if not run.trace.sampled:
            return
        story, step = self._story(run), run.names[invoke.step]
        wait = story.waits.pop(invoke.step, None)
        if wait is not None:
            self._tell_wait(run, wait, began_us)
        links: list[str] = []
        if story.again and story.again.pop(invoke.step, None) is invoke.phase:
            links = [
                attempt_span(run.saga_id, step, invoke.phase, invoke.attempt, epoch) for epoch in story.dead_epochs
            ]
        outcome, code, failure = _judged(told)
        attributes: Attributes = {
            "rpc.system.name": "grpc",
            "rpc.method": path[1:],
            "rpc.response.status_code": CODE_NAMES.get(code, str(code)),
            "saga.id": str(run.saga_id),
            "saga.step": step,
            "saga.phase": invoke.phase.name.lower(),
            "saga.attempt": invoke.attempt,
            "saga.epoch": run.epoch,
            "saga.outcome": outcome,
            **self._servers.get(path[1:].rpartition("/")[0], {}),
        }
        if failure is not None:
            attributes["error.type"] = CODE_NAMES.get(code, str(code)) if code else failure.reason
            attributes["saga.failure.reason"] = failure.reason
        began_ns = began_us * _NS
        self._spans.add(
            path[1:],
            trace_id=run.trace.trace_id,
            span_id=attempt_span(run.saga_id, step, invoke.phase, invoke.attempt, run.epoch),
            parent_id=saga_span(run.saga_id),
            kind=SpanKind.CLIENT,
            began_ns=began_ns,
            ended_ns=began_ns + int(duration_s * 1e9),
            attributes=attributes,
            failed=failure is not None or told is None,
            links=links,
        )

    def saga_halted(self, run: SagaRun, at_us: int) -> None:
        story = self._stories.get(run) if run.trace.sampled else None
        if story is None or not story.halted:
            return  # stuck as it was: nothing but a request was answered
        story.halted = False
        state, trace = run.state, run.trace
        attributes: Attributes = {
            "saga.id": str(run.saga_id),
            "saga.definition": run.definition.name,
            "saga.version": run.definition.version,
            "saga.state": run.durable_status.name,
            "saga.epoch": run.epoch,
        }
        if run.tenant:
            attributes["saga.tenant"] = run.tenant
        if state.failed_step is not None:
            attributes["saga.failed_step"] = run.names[state.failed_step]
        if state.failure is not None:
            attributes["saga.failure.reason"] = state.failure.reason
        if run.durable_status is SagaStatus.STUCK and state.failure is not None:
            attributes["saga.stuck_reason"] = state.failure.reason
        if story.left_out:
            attributes["saga.events_left_out"] = story.left_out
        first = saga_span(run.saga_id)
        self._spans.add(
            f"saga {run.definition.name}",
            trace_id=trace.trace_id,
            span_id=went_on_span(run.saga_id, story.began_us) if story.went_on else first,
            parent_id=first if story.went_on else trace.parent,
            kind=SpanKind.INTERNAL,
            began_ns=story.began_us * _NS,
            ended_ns=at_us * _NS,
            attributes=attributes,
            failed=run.durable_status is SagaStatus.STUCK,
            events=tuple(story.events),
        )

    def saga_given_up(self, stored: StoredSaga, reason: str, at_us: int) -> None:
        trace = trace_of(stored)
        if trace is None or not trace.sampled:
            return
        attributes: Attributes = {
            "saga.id": str(stored.saga_id),
            "saga.definition": stored.definition,
            "saga.version": stored.version,
            "saga.state": SagaStatus.STUCK.name,
            "saga.stuck_reason": reason,
            "saga.epoch": stored.epoch,
        }
        if stored.tenant:
            attributes["saga.tenant"] = stored.tenant
        self._spans.add(
            f"saga {stored.definition}",
            trace_id=trace.trace_id,
            span_id=saga_span(stored.saga_id),
            parent_id=trace.parent,
            kind=SpanKind.INTERNAL,
            began_ns=stored.created_us * _NS,
            ended_ns=at_us * _NS,
            attributes=attributes,
            failed=True,
        )

    def _story(self, run: SagaRun) -> Story:
        story = self._stories.get(run)
        if story is None:
            story = self._stories[run] = Story(run.names)
        return story

    def _tell_wait(self, run: SagaRun, wait: Wait, ended_us: int) -> None:
        step = "" if wait.step == PAUSE else run.names[wait.step]
        attributes: Attributes = {"saga.id": str(run.saga_id), "saga.wait": wait.kind}
        if step:
            attributes["saga.step"] = step
            attributes["saga.failure.reason"] = wait.reason
        self._spans.add(
            f"wait {step}" if step else "paused",
            trace_id=run.trace.trace_id,
            span_id=wait_span(run.saga_id, step, wait.began_us),
            parent_id=saga_span(run.saga_id),
            kind=SpanKind.INTERNAL,
            began_ns=wait.began_us * _NS,
            ended_ns=ended_us * _NS,
            attributes=attributes,
        )


def _judged(told: Input | None) -> tuple[str, int, Failure | None]:
    """What became of an attempt in a word, the status of its RPC, and its failure."""
    if isinstance(told, AttemptEnded):
        failure = None if told.outcome is Outcome.SUCCESS else told.failure
        return told.outcome.name.lower(), 0 if failure is None else failure.code, failure
    if isinstance(told, BuildFailed):
        return "unusable", 0, told.failure
    return ("cut_short", _CANCELLED, None) if told is None else ("settled", 0, None)


def _server(address: str) -> Attributes:
    host, _, port = address.rpartition(":")
    return {"server.address": host.strip("[]"), "server.port": int(port)} if port.isdigit() else {}
