"""The store and one node, as an engine must be: events are durable before the effects of their transition begin."""

from collections import deque
from dataclasses import dataclass, field

from orchestrator.core.definition import SagaSpec
from orchestrator.core.effects import Effect, Invoke
from orchestrator.core.events import Event, Phase, SagaClaimed, StepIntended
from orchestrator.core.fold import fold, initial
from orchestrator.core.graph import descendants
from orchestrator.core.inputs import Input
from orchestrator.core.machine import advance
from orchestrator.core.state import INCARNATION_SHIFT, SagaState, SagaStatus, StepStatus
from orchestrator.engine.journal import decode, encode, step_names
from tests.property.participants import require
from tests.unit.core.build import POLICY

SAGA_ID = "0190-saga"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as stored."""

    kind: int
    attributes: bytes
    at_us: int
    epoch: int


@dataclass(slots=True)
class Store:
    """A journal that takes only what its guard lets in, and the state that it explains."""

    spec: SagaSpec
    entries: list[Entry] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)
    """How long the journal was after each."""
    epoch: int = 0
    incarnation: int = 0
    state: SagaState = field(init=False)

    def __post_init__(self) -> None:
        self.state = initial(self.spec, SAGA_ID)

    def append(self, epoch: int, first_seq: int, entries: list[Entry]) -> bool:
        """Whether the checkpoint was taken: under the saga's epoch, and following what is there.

        None is from a node that joined under an older incarnation: the failover may have lost the claim that fenced it,
        and its answers may have been judged anew since then.
        """
        if epoch != self.epoch or epoch >> INCARNATION_SHIFT != self.incarnation or first_seq != len(self.entries) + 1:
            return False
        for entry in entries:
            self._take(entry)
        self.commits.append(len(self.entries))
        return True

    def claim(self, at_us: int, *, crashed: bool) -> int:
        """Raises the epoch and writes the claim; returns the new epoch."""
        self.epoch = max(self.epoch + 1, (self.incarnation << INCARNATION_SHIFT) + 1)
        kind, attributes = encode(step_names(self.spec), SagaClaimed("node", crashed))
        self._take(Entry(kind, attributes, at_us, self.epoch))
        self.commits.append(len(self.entries))
        return self.epoch

    def lose(self, count: int) -> None:
        """An asynchronous standby takes over: the last commits never were."""
        self.incarnation += 1
        self.commits = self.commits[: max(1, len(self.commits) - count)]
        kept = self.entries[: self.commits[-1]]
        self.entries, self.state = [], initial(self.spec, SAGA_ID)
        for entry in kept:
            self._take(entry)
        self.epoch = kept[-1].epoch

    def _take(self, entry: Entry) -> None:
        require(not self.state.is_terminal, "I6: something was written after the end")
        require(entry.epoch >= self.state.epoch, "I5: an older epoch was written after a newer one")
        event = decode(step_names(self.spec), entry.kind, entry.attributes)
        self.state = fold(self.spec, self.state, event, at_us=entry.at_us, epoch=entry.epoch)
        self.entries.append(entry)


@dataclass(slots=True, eq=False)
class Node:
    """One owner's memory of the saga. A zombie is a node that does not know yet that it owns nothing."""

    spec: SagaSpec
    state: SagaState
    epoch: int
    durable_seq: int
    inbox: deque[Input] = field(default_factory=deque)
    pending: list[Entry] = field(default_factory=list)
    held: deque[tuple[int, Effect]] = field(default_factory=deque)
    timers: dict[int, int] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    """Steps whose compensation this node has sent."""

    def feed(self, given: Input, now_us: int) -> None:
        """Advances, and holds the effects back."""
        before = self.state
        moved = advance(self.spec, self.state, given, now_us, POLICY)
        require(not before.is_terminal or moved.state == before, "I6: an ended saga moved")
        self.state = moved.state
        names = step_names(self.spec)
        for event in moved.events:
            self._check_intent(event)
            kind, attributes = encode(names, event)
            self.pending.append(Entry(kind, attributes, now_us, self.epoch))
        for effect in moved.effects:
            self._check(effect)
            self.held.append((moved.state.seq, effect))

    def commit(self, store: Store) -> bool:
        """Writes everything that is pending as one checkpoint."""
        first_seq = self.durable_seq + 1
        taken = store.append(self.epoch, first_seq, self.pending)
        if taken:
            self.durable_seq += len(self.pending)
            self.pending.clear()
            require(store.state == self.state, "I9: the journal does not explain the state")
        return taken

    def released(self) -> bool:
        """Whether the oldest effect may begin: what it depends on is durable."""
        return bool(self.held) and self.held[0][0] <= self.durable_seq

    def _check_intent(self, event: Event) -> None:
        if isinstance(event, StepIntended):
            require(self.state.status is SagaStatus.RUNNING, "I4: an action was intended on the way back")

    def _check(self, effect: Effect) -> None:
        if not isinstance(effect, Invoke):
            return
        status, by_hand = self.state.status, self.state.by_hand
        require(not by_hand.paused_us, "a call was begun while the saga is paused")
        require(effect.phase is Phase.SETTLE or not by_hand.is_resolving, "I3: something else than settling resolves")
        if effect.phase is not Phase.COMPENSATION:
            settles = effect.phase is Phase.SETTLE and status is SagaStatus.COMPENSATING
            require(settles or status is SagaStatus.RUNNING, "I4: an action was begun on the way back")
            return
        require(status is SagaStatus.COMPENSATING, "I3: an undo was begun on the way forward")
        for after in descendants(self.spec, effect.step):
            waits = {StepStatus.COMPENSATING, StepStatus.RUNNING}
            require(self.state.steps[after].status not in waits, f"I3: {effect.step} is undone before {after}")
