"""Core events to and from what the journal stores: an ``EventType`` and its serialized attribute message.

The journal names steps; the core numbers them. A definition never changes under its version, so the two agree. The
stored messages only ever grow fields: a newer program reads every older journal.
"""

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import event_pb2 as pb
from saga.v1 import saga_pb2

from orchestrator.core import events as ev
from orchestrator.core.definition import SagaSpec
from orchestrator.core.events import Event, Failure, Phase


class JournalError(Exception):
    """A stored entry that this program cannot read: it names an unknown step or an unknown kind of event."""


def _time(at_us: int) -> Timestamp:
    return Timestamp(seconds=at_us // 1_000_000, nanos=at_us % 1_000_000 * 1000)


def _us(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000


def _failure(failure: Failure) -> saga_pb2.Failure:
    return saga_pb2.Failure(code=failure.code, reason=failure.reason, message=failure.message)


def _read_failure(failure: saga_pb2.Failure) -> Failure:
    return Failure(failure.code, failure.reason, failure.message)


def _phase(phase: Phase) -> saga_pb2.Phase.ValueType:
    return saga_pb2.Phase.ValueType(phase.value)


def _encode_attempt_failed(e: ev.AttemptFailed, names: tuple[str, ...]) -> Message:
    return pb.AttemptFailed(
        step=names[e.step],
        phase=_phase(e.phase),
        attempt=e.attempt,
        failure=_failure(e.failure),
        unknown=e.unknown,
        counted=e.counted,
        next_attempt_time=_time(e.next_attempt_us),
        duration_ms=e.duration_ms,
    )


def _encode_request(e: ev.RequestConsumed, _names: tuple[str, ...]) -> Message:
    refusal = _failure(e.refusal) if e.refusal else None
    return pb.RequestConsumed(request_number=e.number, kind=e.kind, refusal=refusal, caller=e.caller, reason=e.reason)


_ENCODERS: Final[dict[type, tuple[int, Callable[[Any, tuple[str, ...]], Message]]]] = {
    ev.SagaStarted: (
        pb.EVENT_TYPE_SAGA_STARTED,
        lambda e, _: pb.SagaStarted(deadline_time=_time(e.deadline_us), trace=e.trace),
    ),
    ev.SagaClaimed: (pb.EVENT_TYPE_SAGA_CLAIMED, lambda e, _: pb.SagaClaimed(node_id=e.node_id, crashed=e.crashed)),
    ev.StepIntended: (pb.EVENT_TYPE_STEP_INTENDED, lambda e, n: pb.StepIntended(step=n[e.step])),
    ev.AttemptFailed: (pb.EVENT_TYPE_ATTEMPT_FAILED, _encode_attempt_failed),
    ev.StepBlocked: (
        pb.EVENT_TYPE_STEP_BLOCKED,
        lambda e, n: pb.StepBlocked(
            step=n[e.step],
            phase=_phase(e.phase),
            failure=_failure(e.failure),
            next_attempt_time=_time(e.next_attempt_us),
        ),
    ),
    ev.StepSucceeded: (
        pb.EVENT_TYPE_STEP_SUCCEEDED,
        lambda e, n: pb.StepSucceeded(
            step=n[e.step], attempt=e.attempt, response=e.response, duration_ms=e.duration_ms
        ),
    ),
    ev.StepRejected: (
        pb.EVENT_TYPE_STEP_REJECTED,
        lambda e, n: pb.StepRejected(
            step=n[e.step], attempt=e.attempt, failure=_failure(e.failure), duration_ms=e.duration_ms
        ),
    ),
    ev.StepUnknown: (
        pb.EVENT_TYPE_STEP_UNKNOWN,
        lambda e, n: pb.StepUnknown(
            step=n[e.step], attempt=e.attempt, failure=_failure(e.failure), duration_ms=e.duration_ms
        ),
    ),
    ev.CompensationStarted: (
        pb.EVENT_TYPE_COMPENSATION_STARTED,
        lambda e, n: pb.CompensationStarted(
            cause=e.cause.value, failed_step="" if e.step is None else n[e.step], failure=_failure(e.failure)
        ),
    ),
    ev.StepCompensated: (
        pb.EVENT_TYPE_STEP_COMPENSATED,
        lambda e, n: pb.StepCompensated(step=n[e.step], attempt=e.attempt, duration_ms=e.duration_ms),
    ),
    ev.SagaCompleted: (pb.EVENT_TYPE_SAGA_COMPLETED, lambda _e, _n: pb.SagaCompleted()),
    ev.SagaCompensated: (pb.EVENT_TYPE_SAGA_COMPENSATED, lambda _e, _n: pb.SagaCompensated()),
    ev.SagaStuck: (
        pb.EVENT_TYPE_SAGA_STUCK,
        lambda e, n: pb.SagaStuck(
            step="" if e.step is None else n[e.step],
            phase=_phase(e.phase),
            failure=_failure(e.failure),
            attempt=e.attempt,
        ),
    ),
    ev.DeadlinePassed: (pb.EVENT_TYPE_DEADLINE_PASSED, lambda _e, _n: pb.DeadlinePassed()),
    ev.RequestConsumed: (pb.EVENT_TYPE_REQUEST_CONSUMED, _encode_request),
    ev.SagaPaused: (pb.EVENT_TYPE_SAGA_PAUSED, lambda _e, _n: pb.SagaPaused()),
    ev.SagaUnpaused: (pb.EVENT_TYPE_SAGA_UNPAUSED, lambda _e, _n: pb.SagaUnpaused()),
    ev.StepRetried: (
        pb.EVENT_TYPE_STEP_RETRIED,
        lambda e, n: pb.StepRetried(step="" if e.step is None else n[e.step], phase=_phase(e.phase)),
    ),
    ev.SkipBegun: (pb.EVENT_TYPE_SKIP_BEGUN, lambda e, n: pb.SkipBegun(step=n[e.step], response=e.response)),
    ev.StepSkipped: (pb.EVENT_TYPE_STEP_SKIPPED, lambda e, n: pb.StepSkipped(step=n[e.step])),
    ev.ResolutionBegun: (pb.EVENT_TYPE_RESOLUTION_BEGUN, lambda _e, _n: pb.ResolutionBegun()),
    ev.StepSettled: (
        pb.EVENT_TYPE_STEP_SETTLED,
        lambda e, n: pb.StepSettled(
            step=n[e.step], done=e.done, undone=e.undone, response=e.response, duration_ms=e.duration_ms
        ),
    ),
    ev.SagaResolved: (pb.EVENT_TYPE_SAGA_RESOLVED, lambda _e, _n: pb.SagaResolved()),
}


def encode(names: tuple[str, ...], event: Event) -> tuple[int, bytes]:
    """The event's type and serialized attributes. ``names`` are the definition's step names, by index."""
    kind, build = _ENCODERS[type(event)]
    return kind, build(event, names).SerializeToString()


def _decode_attempt_failed(m: Any, step: Callable[[str], int]) -> Event:
    return ev.AttemptFailed(
        step(m.step),
        Phase(m.phase),
        m.attempt,
        _read_failure(m.failure),
        m.unknown,
        m.counted,
        _us(m.next_attempt_time),
        m.duration_ms,
    )


def _decode_request(m: Any, _step: Callable[[str], int]) -> Event:
    refusal = _read_failure(m.refusal) if m.HasField("refusal") else None
    return ev.RequestConsumed(m.request_number, m.kind, refusal, m.caller, m.reason)


_DECODERS: Final[dict[int, tuple[type[Message], Callable[[Any, Callable[[str], int]], Event]]]] = {
    pb.EVENT_TYPE_SAGA_STARTED: (pb.SagaStarted, lambda m, _: ev.SagaStarted(_us(m.deadline_time), m.trace)),
    pb.EVENT_TYPE_SAGA_CLAIMED: (pb.SagaClaimed, lambda m, _: ev.SagaClaimed(m.node_id, m.crashed)),
    pb.EVENT_TYPE_STEP_INTENDED: (pb.StepIntended, lambda m, step: ev.StepIntended(step(m.step))),
    pb.EVENT_TYPE_ATTEMPT_FAILED: (pb.AttemptFailed, _decode_attempt_failed),
    pb.EVENT_TYPE_STEP_BLOCKED: (
        pb.StepBlocked,
        lambda m, step: ev.StepBlocked(
            step(m.step), Phase(m.phase), _read_failure(m.failure), _us(m.next_attempt_time)
        ),
    ),
    pb.EVENT_TYPE_STEP_SUCCEEDED: (
        pb.StepSucceeded,
        lambda m, step: ev.StepSucceeded(step(m.step), m.attempt, m.response, m.duration_ms),
    ),
    pb.EVENT_TYPE_STEP_REJECTED: (
        pb.StepRejected,
        lambda m, step: ev.StepRejected(step(m.step), m.attempt, _read_failure(m.failure), m.duration_ms),
    ),
    pb.EVENT_TYPE_STEP_UNKNOWN: (
        pb.StepUnknown,
        lambda m, step: ev.StepUnknown(step(m.step), m.attempt, _read_failure(m.failure), m.duration_ms),
    ),
    pb.EVENT_TYPE_COMPENSATION_STARTED: (
        pb.CompensationStarted,
        lambda m, step: ev.CompensationStarted(
            ev.CompensationCause(m.cause), step(m.failed_step) if m.failed_step else None, _read_failure(m.failure)
        ),
    ),
    pb.EVENT_TYPE_STEP_COMPENSATED: (
        pb.StepCompensated,
        lambda m, step: ev.StepCompensated(step(m.step), m.attempt, m.duration_ms),
    ),
    pb.EVENT_TYPE_SAGA_COMPLETED: (pb.SagaCompleted, lambda _m, _s: ev.SagaCompleted()),
    pb.EVENT_TYPE_SAGA_COMPENSATED: (pb.SagaCompensated, lambda _m, _s: ev.SagaCompensated()),
    pb.EVENT_TYPE_SAGA_STUCK: (
        pb.SagaStuck,
        lambda m, step: ev.SagaStuck(
            step(m.step) if m.step else None, Phase(m.phase), _read_failure(m.failure), m.attempt
        ),
    ),
    pb.EVENT_TYPE_DEADLINE_PASSED: (pb.DeadlinePassed, lambda _m, _s: ev.DeadlinePassed()),
    pb.EVENT_TYPE_REQUEST_CONSUMED: (pb.RequestConsumed, _decode_request),
    pb.EVENT_TYPE_SAGA_PAUSED: (pb.SagaPaused, lambda _m, _s: ev.SagaPaused()),
    pb.EVENT_TYPE_SAGA_UNPAUSED: (pb.SagaUnpaused, lambda _m, _s: ev.SagaUnpaused()),
    pb.EVENT_TYPE_STEP_RETRIED: (
        pb.StepRetried,
        lambda m, step: ev.StepRetried(step(m.step) if m.step else None, Phase(m.phase)),
    ),
    pb.EVENT_TYPE_SKIP_BEGUN: (pb.SkipBegun, lambda m, step: ev.SkipBegun(step(m.step), m.response)),
    pb.EVENT_TYPE_STEP_SKIPPED: (pb.StepSkipped, lambda m, step: ev.StepSkipped(step(m.step))),
    pb.EVENT_TYPE_RESOLUTION_BEGUN: (pb.ResolutionBegun, lambda _m, _s: ev.ResolutionBegun()),
    pb.EVENT_TYPE_STEP_SETTLED: (
        pb.StepSettled,
        lambda m, step: ev.StepSettled(step(m.step), m.done, m.undone, m.response, m.duration_ms),
    ),
    pb.EVENT_TYPE_SAGA_RESOLVED: (pb.SagaResolved, lambda _m, _s: ev.SagaResolved()),
}


def step_names(spec: SagaSpec) -> tuple[str, ...]:
    """The definition's step names, by index."""
    return spec.names


def decode(names: tuple[str, ...], kind: int, attributes: bytes) -> Event:
    """The event that was stored. Raises :class:`JournalError` if this program does not know what it says."""
    if kind not in _DECODERS:
        raise JournalError(f"the journal holds an event of kind {kind}, which this program does not know")

    def step(name: str) -> int:
        if name not in names:
            raise JournalError(f"the journal names a step {name!r}, which the definition does not have")
        return names.index(name)

    message_type, build = _DECODERS[kind]
    try:
        return build(message_type.FromString(attributes), step)
    except (DecodeError, ValueError) as error:
        raise JournalError(f"the journal's event of kind {kind} cannot be read: {type(error).__name__}") from None
