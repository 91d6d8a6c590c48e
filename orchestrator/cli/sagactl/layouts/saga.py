"""Everything about one saga."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from saga.v1 import operator_pb2, saga_pb2

from orchestrator.cli.sagactl.layouts.audit import audit_table
from orchestrator.cli.sagactl.layouts.events import event_line
from orchestrator.cli.sagactl.layouts.plans import PHASES, failure_text
from orchestrator.cli.sagactl.layouts.sagas import ATTENTIONS, definition_of, state_of
from orchestrator.cli.sagactl.layouts.tables import Rows, heading, pairs, table
from orchestrator.cli.sagactl.words import ago, clock, took, word

_KINDS = saga_pb2.StepKind.DESCRIPTOR
_STEP_STATES = saga_pb2.StepState.DESCRIPTOR


def head(saga: saga_pb2.Saga, now: datetime, attention: int = 0) -> Table:
    """What the saga as a whole is."""
    stamps = {"stored": saga.create_time, "moved": saga.update_time, "ended": saga.end_time}
    return pairs(
        (
            ("saga", saga.saga_id),
            ("definition", definition_of(saga)),
            ("state", state_of(saga)),
            ("attention", word(ATTENTIONS, attention)),
            ("version", str(saga.last_seq or "")),
            ("failed step", saga.failed_step),
            ("failure", failure_text(saga.failure)),
            ("blocked", saga.blocked_reason),
            ("waiting", " ".join(part for part in (saga.waiting_step, saga.waiting_reason) if part)),
            *((name, f"{clock(time)} ({ago(time, now)})" if clock(time) else "") for name, time in stamps.items()),
            ("deadline", clock(saga.deadline_time)),
            ("paused", clock(saga.pause_time)),
            ("tenant", saga.tenant),
            ("caller", saga.caller),
            ("request id", saga.request_id),
            ("concurrency key", saga.concurrency_key),
            ("owner", saga.owner_node_id),
            ("epoch", str(saga.epoch or "")),
        )
    )


def steps(saga: saga_pb2.Saga) -> Rows:
    """One line a step."""
    return table(
        ("STEP", "KIND", "STATE", "CALLS", "TRIED#", "AFTER?", "NEXT TRY?", "LAST FAILURE"),
        (
            (
                step.name,
                word(_KINDS, step.kind).lower(),
                word(_STEP_STATES, step.state) + (f" (blocked: {step.blocked_reason})" if step.blocked_reason else ""),
                step.method,
                step.attempts + step.compensation_attempts,
                ", ".join(step.after),
                clock(step.next_attempt_time),
                failure_text(step.failure),
            )
            for step in saga.steps
        ),
    )


def details(told: operator_pb2.SagaDetails, now: datetime, *, everything: bool) -> Iterator[RenderableType]:
    """The saga and its steps; with ``everything`` its attempts, payloads and journal too."""
    yield head(told.saga, now, told.attention)
    yield heading("Steps")
    yield steps(told.saga)
    if everything:
        yield from _attempts(told)
        yield from _payloads(told)
        if told.events:
            yield heading("Journal")
            yield from map(event_line, told.events)
    if told.audit:
        yield heading("What operators asked for")
        yield audit_table(told.audit)
    if not everything:
        yield Text("\n--everything shows attempts, payloads and the journal too.", "dim")


def _attempts(told: operator_pb2.SagaDetails) -> Iterator[RenderableType]:
    yield heading("Attempts")
    yield table(
        ("SEQ#", "STEP", "CALL", "ATTEMPT#", "OUTCOME", "TOOK#", "ENDED", "NEXT TRY", "FAILURE"),
        (
            (
                each.seq,
                each.step,
                word(PHASES, each.phase).lower(),
                each.attempt,
                each.outcome,
                took(each.duration),
                clock(each.end_time),
                clock(each.next_attempt_time),
                failure_text(each.failure),
            )
            for each in told.attempts
        ),
    )


def _payloads(told: operator_pb2.SagaDetails) -> Iterator[RenderableType]:
    yield from _payload("Input", told.input)
    for each in told.step_payloads:
        yield from _payload(f"Request of {each.step}", each.request)
        yield from _payload(f"Response of {each.step}", each.response)
        yield from _payload(f"Request of the compensation of {each.step}", each.compensation_request)
    yield from _payload("Result", told.result)


def _payload(title: str, payload: operator_pb2.Payload) -> Iterator[RenderableType]:
    if not payload.ByteSize():
        return
    yield heading(f"{title}: {payload.type}")
    yield Text(payload.problem or payload.json + (" (cut off)" if payload.truncated else ""))
