"""From a stored saga to a run: fold the journal. There is no other recovery code."""

from collections.abc import Iterator, Sequence

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.events import Event, Failure, Phase, RequestConsumed, SagaStarted, SagaStuck
from orchestrator.core.fold import fold, initial
from orchestrator.core.state import SagaState, SagaStatus
from orchestrator.definitions.model import Definition
from orchestrator.engine.journal import JournalError, decode, encode, step_names
from orchestrator.engine.run import ENTRY_BYTES, RunHost, SagaRun
from orchestrator.engine.stored import Checkpoint, JournalEntry, RowState, SagaRequest, StoredSaga
from orchestrator.engine.tracing import TraceContext, root, unpack


def replay(definition: Definition, stored: StoredSaga) -> SagaState:
    """The state that the journal explains. Raises ``JournalError`` if this program cannot read it."""
    names = step_names(definition.spec)
    state = initial(definition.spec, str(stored.saga_id))
    for entry in stored.journal:
        event = decode(names, entry.kind, entry.attributes)
        state = fold(definition.spec, state, event, at_us=entry.at_us, epoch=entry.epoch)
    return state


def resume_run(definition: Definition, stored: StoredSaga, host: RunHost, policy: CorePolicy) -> SagaRun:
    """A run at the end of the saga's journal. Raises ``JournalError`` and ``PayloadError``."""
    state = replay(definition, stored)
    assert state.seq == stored.last_seq, f"saga {stored.saga_id}: the journal ends before the row's last_seq"
    saga_input = definition.parse_input(stored.input)
    trace = trace_of(stored) or root(stored.saga_id)
    size = len(stored.input) + sum(len(entry.attributes) + ENTRY_BYTES for entry in stored.journal)
    return SagaRun(
        host,
        definition,
        state,
        saga_input,
        epoch=stored.epoch,
        policy=policy,
        trace=trace,
        size=size,
        tenant=stored.tenant,
    )


def trace_of(stored: StoredSaga) -> TraceContext | None:
    """The trace that the saga's caller sent."""
    if not stored.journal:
        return None
    started = decode((), stored.journal[0].kind, stored.journal[0].attributes)
    return unpack(started.trace) if isinstance(started, SagaStarted) else None


def tags_of(stored: StoredSaga) -> dict[str, str]:
    """What a log line about a saga names it by that is not in memory."""
    try:
        trace = trace_of(stored)
    except JournalError:
        trace = None
    return {"saga_id": str(stored.saga_id), "trace_id": stored.saga_id.hex if trace is None else trace.trace_id}


def history(stored: StoredSaga, names: tuple[str, ...]) -> Iterator[tuple[Event, int, int]]:
    """The saga's events, each with its time and epoch."""
    for entry in stored.journal:
        yield decode(names, entry.kind, entry.attributes), entry.at_us, entry.epoch


def release(stored: StoredSaga, wake_at_us: int) -> Checkpoint:
    """Lets go of a saga that this node cannot run, until it is due again."""
    return Checkpoint(
        stored.saga_id, stored.epoch, stored.last_seq, stored.row, (), release=True, wake_at_us=wake_at_us
    )


def give_up(
    stored: StoredSaga, reason: str, message: str, now_us: int, requests: Sequence[SagaRequest] = ()
) -> Checkpoint:
    """Stops a saga that this program cannot even advance, and refuses what is asked of it: it would be claimed for it
    again and again.
    """
    failure = Failure(0, reason, message)
    events: list[Event] = [
        RequestConsumed(request.number, request.kind, failure, request.caller, request.reason) for request in requests
    ]
    if stored.row.status is not SagaStatus.STUCK:
        events.append(SagaStuck(None, Phase.ACTION, failure))
    entries = tuple(
        JournalEntry(seq, *encode((), event), now_us) for seq, event in enumerate(events, stored.last_seq + 1)
    )
    row = RowState(SagaStatus.STUCK, stored.row.deadline_us, stored.row.failed_step, 0, failure.reason, failure.message)
    return Checkpoint(
        stored.saga_id,
        stored.epoch,
        stored.last_seq + len(entries),
        row,
        entries,
        release=True,
        consumed_requests=tuple(request.number for request in requests),
    )
