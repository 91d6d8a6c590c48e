"""From a stored saga to a run: fold the journal. There is no other recovery code."""

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.events import Failure, Phase, SagaStuck
from orchestrator.core.fold import fold, initial
from orchestrator.core.state import SagaState, SagaStatus
from orchestrator.definitions.model import Definition
from orchestrator.engine.journal import decode, encode, step_names
from orchestrator.engine.ports import Checkpoint, JournalEntry, RowState, StoredSaga
from orchestrator.engine.run import RunHost, SagaRun


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
    return SagaRun(host, definition, state, definition.parse_input(stored.input), epoch=stored.epoch, policy=policy)


def release(stored: StoredSaga, wake_at_us: int) -> Checkpoint:
    """Lets go of a saga that this node cannot run, until it is due again."""
    return Checkpoint(
        stored.saga_id, stored.epoch, stored.last_seq, stored.row, (), release=True, wake_at_us=wake_at_us
    )


def give_up(stored: StoredSaga, reason: str, message: str, now_us: int) -> Checkpoint:
    """Stops a saga that this program cannot even advance."""
    failure = Failure(0, reason, message)
    kind, attributes = encode((), SagaStuck(None, Phase.ACTION, failure))
    seq = stored.last_seq + 1
    row = RowState(SagaStatus.STUCK, stored.row.deadline_us, stored.row.failed_step, 0, failure.reason, failure.message)
    entry = JournalEntry(seq, kind, attributes, now_us)
    return Checkpoint(stored.saga_id, stored.epoch, seq, row, (entry,), release=True)
