"""Everything about one saga: the attempts that its journal tells of, and its events without payloads."""

from collections.abc import Sequence
from typing import Any, Final

from saga.v1 import event_pb2, saga_pb2
from saga.v1 import operator_pb2 as op

from orchestrator.operations.messages import duration

MAX_SHOWN: Final = 250
"""Events, and attempts, of one saga that are shown: the newest."""

_OUTCOMES: Final = {
    "attempt_failed": "failed",
    "step_blocked": "blocked",
    "step_succeeded": "succeeded",
    "step_rejected": "rejected",
    "step_unknown": "unknown",
    "step_compensated": "compensated",
    "step_settled": "settled",
    "saga_stuck": "stuck",
}
"""What the end of an attempt is called, by the event that tells of it."""


def attempts_of(events: Sequence[event_pb2.SagaEvent]) -> list[op.Attempt]:
    """The attempts whose ends the events tell, in their order."""
    found = [attempt for event in events if (attempt := _attempt(event)) is not None]
    return found[-MAX_SHOWN:]


def _attempt(event: event_pb2.SagaEvent) -> op.Attempt | None:
    name = event.WhichOneof("attributes")
    outcome = _OUTCOMES.get(name or "")
    if outcome is None or name is None:
        return None
    told: Any = getattr(event, name)
    fields = told.DESCRIPTOR.fields_by_name
    if name == "saga_stuck" and not told.attempt:
        return None  # no attempt ended, or an event before tells of it
    attempt = op.Attempt(
        step=told.step,
        phase=_phase(name, told),
        attempt=told.attempt if "attempt" in fields else 0,
        outcome="unknown" if name == "attempt_failed" and told.unknown else outcome,
        end_time=event.event_time,
        seq=event.seq,
    )
    if "failure" in fields and told.HasField("failure"):
        attempt.failure.CopyFrom(told.failure)
    if "duration_ms" in fields:
        attempt.duration.CopyFrom(duration(max(0, told.duration_ms) * 1000))
    if "next_attempt_time" in fields:
        attempt.next_attempt_time.CopyFrom(told.next_attempt_time)
    return attempt


def _phase(name: str, told: Any) -> saga_pb2.Phase.ValueType:
    if "phase" in told.DESCRIPTOR.fields_by_name:
        phase: saga_pb2.Phase.ValueType = told.phase
        return phase
    if name == "step_compensated":
        return saga_pb2.PHASE_COMPENSATION
    settled = name == "step_settled" or ("attempt" in told.DESCRIPTOR.fields_by_name and told.attempt == 0)
    return saga_pb2.PHASE_SETTLE if settled else saga_pb2.PHASE_ACTION


def without_payloads(events: Sequence[event_pb2.SagaEvent]) -> list[event_pb2.SagaEvent]:
    """The newest events, without the responses that they hold: payloads are shown redacted, or not at all."""
    shown = list(events)[-MAX_SHOWN:]
    for event in shown:
        name = event.WhichOneof("attributes")
        if name is not None:
            told: Any = getattr(event, name)
            if "response" in told.DESCRIPTOR.fields_by_name:
                told.ClearField("response")
    return shown
