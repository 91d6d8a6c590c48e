"""One attempt: build the request, call the participant, tell the core how it ended."""

from collections.abc import Mapping
from typing import Final

import structlog
from google.protobuf.message import DecodeError, Message
from saga.v1 import participant_service_pb2 as settle_pb

from contracts import metadata
from contracts.sensitivity import scrub
from orchestrator.core.effects import Invoke
from orchestrator.core.events import Failure, Phase
from orchestrator.core.inputs import AttemptEnded, BuildFailed, Input, StepSettled
from orchestrator.core.outcome import Outcome, classify
from orchestrator.definitions.errors import BuilderError, PayloadError
from orchestrator.engine.clock import DatabaseClock
from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import Answer, Call, Participants
from orchestrator.engine.run import MAX_FAILURE_CHARS, SagaRun
from orchestrator.engine.tracing import attempt_span

log = structlog.get_logger(__name__)

SETTLE_PATH: Final = "/saga.v1.ParticipantService/Settle"
_PHASE_NAMES: Final[Mapping[Phase, str]] = {
    Phase.ACTION: metadata.PHASE_ACTION,
    Phase.COMPENSATION: metadata.PHASE_COMPENSATION,
    Phase.SETTLE: metadata.PHASE_SETTLE,
}
_CODE_NAMES: Final = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)


async def attempt(
    run: SagaRun, invoke: Invoke, participants: Participants, clock: DatabaseClock, observer: Observer
) -> Input:
    """Makes the attempt and returns what the core is to be told."""
    try:
        call = _build(run, invoke)
    except (BuilderError, PayloadError) as error:
        return _defect(run, invoke, "BUILDER_FAILED", str(error))
    began_us, began_s = clock.now_us(), clock.monotonic_s()
    told: Input | None = None
    try:
        answer = await participants.call(call)
        duration_ms = int((clock.monotonic_s() - began_s) * 1000)
        if answer.is_too_large:
            told = _unusable(run, invoke, "RESPONSE_TOO_LARGE", answer.message)
        elif invoke.phase is Phase.SETTLE and answer.code == 0:
            told = _settled(run, invoke, answer, duration_ms)
        else:
            told = _judge(run, invoke, call, answer, duration_ms)
        return told
    finally:
        observer.attempt_ended(
            run, invoke, call.path, began_us=began_us, duration_s=clock.monotonic_s() - began_s, told=told
        )


def traceparent(run: SagaRun, invoke: Invoke) -> str:
    """W3C trace context of an attempt's call: what the participant does belongs below the attempt's span."""
    span = attempt_span(run.saga_id, run.names[invoke.step], invoke.phase, invoke.attempt, run.epoch)
    return f"00-{run.trace.trace_id}-{span}-{'01' if run.trace.sampled else '00'}"


def _build(run: SagaRun, invoke: Invoke) -> Call:
    step, spec = run.definition.steps[invoke.step], run.definition.spec.steps[invoke.step]
    service, path, timeout_s = step.method.service, step.method.path, spec.timeout_s
    if invoke.phase is Phase.ACTION:
        request = run.definition.build_action(invoke.step, run.input, run.responses())
    elif invoke.phase is Phase.COMPENSATION:
        compensation = step.compensation
        assert compensation is not None, "only compensatable steps are compensated"
        request = run.definition.build_compensation(invoke.step, run.input, run.responses())
        service, path, timeout_s = compensation.service, compensation.path, spec.compensation_timeout_s
    else:
        path = SETTLE_PATH
        request = settle_pb.SettleRequest(saga_id=run.state.saga_id, step=step.name).SerializeToString()
    saga_id = run.state.saga_id
    phase = _PHASE_NAMES[invoke.phase]
    return Call(
        service,
        path,
        request,
        timeout_s,
        (
            (metadata.SAGA_ID, saga_id),
            (metadata.SAGA_STEP, step.name),
            (metadata.IDEMPOTENCY_KEY, metadata.idempotency_key(saga_id, step.name, phase)),
            (metadata.EPOCH, str(run.epoch)),
            (metadata.ATTEMPT, str(invoke.attempt)),
            (metadata.TRACEPARENT, traceparent(run, invoke)),
        ),
    )


def _settled(run: SagaRun, invoke: Invoke, answer: Answer, duration_ms: int) -> Input:
    try:
        response = settle_pb.SettleResponse.FromString(answer.response)
    except DecodeError:
        response = settle_pb.SettleResponse()
    state = response.state
    done = state == settle_pb.SETTLE_STATE_DONE
    if done:
        try:
            parsed = run.definition.parse_response(invoke.step, response.response)
            run.remember_parsed(invoke.step, response.response, parsed)
        except PayloadError as error:
            return _unusable(run, invoke, "RESPONSE_UNREADABLE", str(error))
        if not run.has_room_for(response.response):
            return _unusable(run, invoke, "SAGA_TOO_LARGE", _no_room(run, response.response))
    elif state not in {settle_pb.SETTLE_STATE_TOMBSTONE, settle_pb.SETTLE_STATE_UNDONE}:
        failure = Failure(0, "SETTLE_UNREADABLE", f"the participant answered Settle with state {state}")
        return AttemptEnded(invoke.step, invoke.phase, invoke.attempt, Outcome.UNKNOWN, failure=failure)
    return StepSettled(
        invoke.step, done, state == settle_pb.SETTLE_STATE_UNDONE, response.response, duration_ms=duration_ms
    )


def _judge(run: SagaRun, invoke: Invoke, call: Call, answer: Answer, duration_ms: int) -> Input:
    step, spec = run.definition.steps[invoke.step], run.definition.spec.steps[invoke.step]
    backward = invoke.phase is Phase.COMPENSATION
    outcome = classify(
        answer.code,
        proven=answer.proven,
        retry_delay=answer.retry_delay_s is not None,
        barrier_reason=answer.reason if answer.domain == metadata.ERROR_DOMAIN else None,
        has_barrier=spec.has_barrier,
        reclassify=step.compensation_reclassify if backward else step.reclassify,
    )
    if outcome is Outcome.SUCCESS:
        if backward:
            return AttemptEnded(invoke.step, invoke.phase, invoke.attempt, outcome, duration_ms=duration_ms)
        try:
            parsed = run.definition.parse_response(invoke.step, answer.response)
            run.remember_parsed(invoke.step, answer.response, parsed)
        except PayloadError as error:
            return _unusable(run, invoke, "RESPONSE_UNREADABLE", str(error))
        if not run.has_room_for(answer.response):
            return _unusable(run, invoke, "SAGA_TOO_LARGE", _no_room(run, answer.response))
        return AttemptEnded(
            invoke.step, invoke.phase, invoke.attempt, outcome, answer.response, duration_ms=duration_ms
        )
    failure = failure_of(answer, _request(run, invoke, call))
    _log(run, invoke, outcome, failure, duration_ms)
    retry_after_us = None if answer.retry_delay_s is None else int(answer.retry_delay_s * 1_000_000)
    return AttemptEnded(
        invoke.step,
        invoke.phase,
        invoke.attempt,
        outcome,
        failure=failure,
        retry_after_us=retry_after_us,
        duration_ms=duration_ms,
    )


def _request(run: SagaRun, invoke: Invoke, call: Call) -> Message | None:
    """The request that was sent, read again: only a failure needs it. Settle's has no payload."""
    step = run.definition.steps[invoke.step]
    method = step.compensation if invoke.phase is Phase.COMPENSATION else step.method
    if method is None or invoke.phase is Phase.SETTLE:
        return None
    return method.request.FromString(call.request)


def failure_of(answer: Answer, request: Message | None = None) -> Failure:
    """What the journal keeps of an answer that was no success: text that PostgreSQL can store, and bounded.

    A participant's words lose what they quote of ``request``'s personal and secret fields, and a reason that is no
    UPPER_SNAKE word gives way to the name of the code: reasons are counted, logged and shown in lists.
    """
    code_name = _CODE_NAMES[answer.code] if 0 <= answer.code < len(_CODE_NAMES) else f"CODE_{answer.code}"
    reason = answer.reason if answer.reason and metadata.REASON.fullmatch(answer.reason) else code_name
    message = answer.message if request is None else scrub(answer.message, request)
    message = message.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_FAILURE_CHARS]
    # Lone surrogates cannot be stored as UTF-8.
    return Failure(answer.code, reason, message.encode("utf-8", "replace").decode("utf-8"))


def _defect(run: SagaRun, invoke: Invoke, reason: str, message: str, *, attempt: int = 0) -> BuildFailed:
    failure = Failure(0, reason, message[:MAX_FAILURE_CHARS])
    _log(run, invoke, None, failure, 0)
    return BuildFailed(invoke.step, invoke.phase, failure, attempt)


def _unusable(run: SagaRun, invoke: Invoke, reason: str, message: str) -> BuildFailed:
    """The call took effect, and what came back cannot be kept. No retry helps: its answer would be the same."""
    attempt = 0 if invoke.phase is Phase.SETTLE else invoke.attempt
    return _defect(run, invoke, reason, message, attempt=attempt)


def _no_room(run: SagaRun, response: bytes) -> str:
    return (
        f"the step took effect, and its response of {len(response)} bytes does not fit into the saga, which has "
        f"{run.size} of {run.max_bytes}; raise ORCHESTRATOR_MAX_SAGA_BYTES at every node, then retry the step"
    )


def _log(run: SagaRun, invoke: Invoke, outcome: Outcome | None, failure: Failure, duration_ms: int) -> None:
    log.info(
        "attempt_failed",
        saga_id=run.state.saga_id,
        step=run.names[invoke.step],
        phase=invoke.phase.name.lower(),
        attempt=invoke.attempt,
        outcome=outcome.name if outcome else "DEFECT",
        code=failure.code,
        reason=failure.reason,
        duration_ms=duration_ms,
        trace_id=run.trace.trace_id,
    )
