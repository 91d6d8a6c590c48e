"""Stored sagas, views and journal entries as messages of ``saga.v1``."""

from typing import Any, Final, cast
from uuid import UUID

from saga.v1 import event_pb2, saga_pb2

from orchestrator.core.definition import StepSpec
from orchestrator.core.events import Failure
from orchestrator.core.state import SagaStatus, StepState, StepStatus
from orchestrator.definitions.model import BoundStep
from orchestrator.engine.api import SagaView
from orchestrator.engine.stored import StoredEntry, StoredSaga
from orchestrator.operations.messages import failure_message, timestamp

_RUNNABLE: Final = frozenset({SagaStatus.PENDING, SagaStatus.RUNNING, SagaStatus.COMPENSATING})
_TIMED: Final = frozenset({StepStatus.RUNNING, StepStatus.UNKNOWN, StepStatus.COMPENSATING})

_ATTRIBUTES: Final[dict[int, str]] = {
    number: name.removeprefix("EVENT_TYPE_").lower()
    for name, number in event_pb2.EventType.items()
    if number != event_pb2.EVENT_TYPE_UNSPECIFIED
}
"""The field of ``SagaEvent`` that holds the attributes of an event, by its type."""


def saga_message(stored: StoredSaga) -> saga_pb2.Saga:
    """A saga's row, without its steps and its result."""
    row = stored.row
    saga = saga_pb2.Saga(
        saga_id=str(stored.saga_id),
        definition=stored.definition,
        version=stored.version,
        digest=stored.digest.hex(),
        state=saga_pb2.SagaState.ValueType(row.status.value),
        caller=stored.caller,
        request_id=stored.request_id,
        concurrency_key=stored.concurrency_key or "",
        owner_node_id=str(stored.owner) if stored.owner is not None else "",
        epoch=stored.epoch,
        last_seq=stored.last_seq,
        create_time=timestamp(stored.created_us),
        update_time=timestamp(stored.updated_us),
        end_time=timestamp(stored.ended_us) if stored.ended_us is not None else None,
        deadline_time=timestamp(row.deadline_us),
        failed_step=row.failed_step or "",
        blocked_reason=_blocked_reason(stored),
        pause_time=timestamp(row.paused_us) if row.paused_us is not None else None,
        block_time=timestamp(row.blocked_us) if row.blocked_us is not None else None,
        waiting_step=row.waiting_step or "",
        waiting_reason=row.waiting_reason or "",
        tenant=stored.tenant,
    )
    if row.failure_code or row.failure_reason or row.failure_message:
        failure = Failure(row.failure_code, row.failure_reason or "", row.failure_message or "")
        saga.failure.CopyFrom(failure_message(failure))
    return saga


def view_message(view: SagaView) -> saga_pb2.Saga:
    """A saga with its steps and its result. The steps are missing where its definition is not loaded."""
    saga = saga_message(view.stored)
    saga.result = view.result
    if view.definition is not None and view.state is not None:
        spec = view.definition.spec
        names = [step.name for step in spec.steps]
        for step, bound, state in zip(spec.steps, view.definition.steps, view.state.steps, strict=True):
            saga.steps.append(_step_message(step, bound, state, names))
    return saga


def event_message(saga_id: UUID, entry: StoredEntry) -> event_pb2.SagaEvent:
    """A journal entry. One of a newer program's types keeps its number and goes without attributes."""
    event = event_pb2.SagaEvent(
        saga_id=str(saga_id),
        seq=entry.seq,
        event_time=timestamp(entry.at_us),
        epoch=entry.epoch,
        type=event_pb2.EventType.ValueType(entry.kind),
    )
    name = _ATTRIBUTES.get(entry.kind)
    if name is not None:
        attributes = getattr(cast("Any", event), name)
        attributes.SetInParent()  # an event without details has attributes all the same
        attributes.MergeFromString(entry.attributes)
    return event


def _blocked_reason(stored: StoredSaga) -> str:
    if not stored.definition_loaded and stored.row.status in _RUNNABLE:
        return f"definition {stored.definition} v{stored.version} is loaded by no live node"
    return stored.row.blocked_reason or ""


def _step_message(step: StepSpec, bound: BoundStep, state: StepState, names: list[str]) -> saga_pb2.Step:
    message = saga_pb2.Step(
        name=step.name,
        kind=saga_pb2.StepKind.ValueType(step.kind.value),
        state=saga_pb2.StepState.ValueType(state.status.value),
        method=bound.method.full_name,
        compensation_method=bound.compensation.full_name if bound.compensation is not None else "",
        attempts=state.attempts,
        compensation_attempts=state.compensation_attempts,
        after=[names[index] for index in step.predecessors],
    )
    if state.next_attempt_us and state.status in _TIMED:
        message.next_attempt_time.CopyFrom(timestamp(state.next_attempt_us))
    if state.failure is not None:
        message.failure.CopyFrom(failure_message(state.failure))
    if state.blocked is not None:
        message.blocked_reason = f"{state.blocked.reason}: {state.blocked.message}"
    return message
