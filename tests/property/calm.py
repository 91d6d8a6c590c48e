"""One saga in a world without faults: the engine's part and the participants', one thing after another."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from orchestrator.core.definition import SagaSpec
from orchestrator.core.effects import CancelAttempt, Invoke, SetTimer
from orchestrator.core.events import Failure, Phase, RequestConsumed
from orchestrator.core.inputs import (
    AttemptCancelled,
    AttemptEnded,
    Begun,
    DeadlineReached,
    Input,
    OperatorAction,
    OperatorRequested,
    Resumed,
    StepSettled,
    TimerFired,
)
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus
from orchestrator.engine.journal import decode, step_names
from tests.property.node import Node, Store
from tests.property.participants import Bugs, Participants, RowState, require
from tests.property.tape import Tape
from tests.property.verdict import judge
from tests.unit.core.build import SECOND, START_US

MAX_MOVES: Final = 3000
"""Of one run. A tape of 300 bytes and eight steps end well below it, or do not end."""
BUDGET_S: Final = 3600


@dataclass(slots=True, eq=False)
class Call:
    """A request on its way. Nobody ``waits`` for it once its caller gave up, cancelled it or died."""

    node: Node
    step: int
    phase: Phase
    attempt: int
    waits: bool = True


@dataclass(slots=True)
class CalmWorld:
    """Drives one saga to its end. ``run`` raises ``Violation`` if an invariant does not hold on the way."""

    spec: SagaSpec
    tape: Tape
    bugs: Bugs = field(default_factory=Bugs)
    lossy: bool = False
    operated: bool = False
    now_us: int = START_US
    store: Store = field(init=False)
    participants: Participants = field(init=False)
    owner: Node | None = field(init=False)
    zombies: list[Node] = field(default_factory=list)
    network: list[Call] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    """How often each thing went wrong."""
    requests: int = 0

    def __post_init__(self) -> None:
        self.store = Store(self.spec, epoch=1)
        self.participants = Participants(self.spec, self.tape, self.bugs, self.operated)
        node = Node(self.spec, self.store.state, 1, 0)
        node.feed(Begun(1, self.now_us + BUDGET_S * SECOND), self.now_us)
        require(node.commit(self.store), "the start was refused")
        self.owner = node

    def run(self) -> SagaStatus:
        """Lets things happen until the saga is durably over or stuck, and then until nothing is on its way."""
        moves = 0
        while not (self.has_ended() and self.tape.has_ended):
            moves += 1
            require(moves < MAX_MOVES, f"I8: no end after {moves} moves, in {self.store.state.status.name}")
            if not self.move():
                break
        resolved = self.store.state.status is SagaStatus.RESOLVED and not self.lossy
        before = [fact.in_effect for fact in self.participants.facts]
        for call in list(self.network):
            self.deliver_late(call)
        for index, fact in enumerate(self.participants.facts if resolved else ()):
            same = fact.in_effect is before[index] or not self.spec.steps[index].has_barrier
            require(same, f"I4: a late call of step {index} took effect after the saga was resolved by hand")
        judge(self.store.state, self.participants, lossy=self.lossy)
        return self.store.state.status

    def has_ended(self) -> bool:
        return self.store.state.is_terminal or self.store.state.status is SagaStatus.STUCK

    def move(self) -> bool:
        """One thing that happens; False if nothing is left that could."""
        options = (self.misfortunes() if self.tape.chance(40) else []) or self.fortunes() or self.misfortunes()
        require(bool(options) or self.has_ended(), "I8: nothing is left that could happen")
        if options:
            options[self.tape.pick(len(options))]()
        return bool(options)

    def misfortunes(self) -> list[Callable[[], None]]:
        """What can go wrong now: here nothing."""
        return []

    def fortunes(self) -> list[Callable[[], None]]:
        """In the order of a world without faults; time passes only when nothing else happens."""
        node = self.owner
        if node is None:
            return [] if self.has_ended() else [self.claim]
        options: list[Callable[[], None]] = []
        if node.inbox:
            options.append(partial(self.take_input, node))
        if node.pending:
            options.append(partial(self.commit, node))
        if node.released():
            options.append(partial(self.carry_out, node))
        options += [partial(self.answer, call) for call in self.network if call.waits and call.node is node]
        return options or [self.let_go if self.has_ended() else self.pass_time]

    def let_go(self) -> None:
        self.owner = None

    def take_input(self, node: Node) -> None:
        given = node.inbox.popleft()
        before = len(node.pending)
        node.feed(given, self.now_us)
        if isinstance(given, OperatorRequested) and len(node.pending) > before:
            entry = node.pending[before]
            consumed = decode(step_names(self.spec), entry.kind, entry.attributes)
            assert isinstance(consumed, RequestConsumed), "an action is answered first"
            refusal = consumed.refusal
            self.count(f"refused {refusal.reason}" if refusal else f"granted {given.action.name}")
        if isinstance(given, AttemptEnded | AttemptCancelled | StepSettled | TimerFired) and self.tape.chance(10):
            node.feed(given, self.now_us)  # twice: it must change nothing

    def commit(self, node: Node) -> None:
        if node.commit(self.store):
            require(node is self.owner, "I5: a node that is not the owner wrote")
        else:
            require(node is not self.owner, "the owner's checkpoint was refused")
            self.bury(node)

    def carry_out(self, node: Node) -> None:
        _, effect = node.held.popleft()
        match effect:
            case Invoke(step, phase, attempt):
                self.check_call(node, step, phase)
                self.network.append(Call(node, step, phase, attempt))
            case CancelAttempt(step, phase):
                for call in self.network:
                    if call.waits and (call.node, call.step, call.phase) == (node, step, phase):
                        call.waits = False
                        node.inbox.append(AttemptCancelled(step, phase))
            case SetTimer(step, at_us):
                node.timers[step] = at_us

    def check_call(self, node: Node, step: int, phase: Phase) -> None:
        under_way = [c.phase for c in self.network if c.waits and c.node is node and c.step == step]
        require(not under_way, f"I4: step {step} is called while {under_way} is under way")
        if phase is Phase.COMPENSATION:
            node.undone.add(step)
        elif phase is Phase.ACTION:
            require(step not in node.undone, f"I4: step {step} is called by the node that undid it")

    def answer(self, call: Call) -> None:
        """A call arrives, and its answer too."""
        self.network.remove(call)
        outcome, row = self.participants.call(call.step, call.phase, call.node.epoch)
        self.tell(call, outcome, row)

    def deliver_late(self, call: Call) -> None:
        """A call arrives, and nobody waits for its answer any more."""
        self.network.remove(call)
        self.participants.call(call.step, call.phase, call.node.epoch)

    def tell(self, call: Call, outcome: Outcome, row: RowState = RowState.ABSENT, retry_s: int | None = None) -> None:
        if outcome is Outcome.STALE_EPOCH and call.node is not self.owner:
            self.bury(call.node)  # it asks the store, and learns that the saga is not its own
            return
        given: Input
        if call.phase is Phase.SETTLE and outcome is Outcome.SUCCESS:
            self.count(f"settled {row.name}")
            given = StepSettled(call.step, row is RowState.DONE, row is RowState.UNDONE, b"")
        else:
            failure = None if outcome is Outcome.SUCCESS else Failure(0, outcome.name, "")
            retry_us = None if retry_s is None else retry_s * SECOND
            given = AttemptEnded(call.step, call.phase, call.attempt, outcome, b"ok", failure, retry_us)
        call.node.inbox.append(given)

    def pass_time(self) -> None:
        """To the next timer of the owner, or to the deadline."""
        node = self.owner
        assert node is not None
        if node.state.by_hand.paused_us:
            self.requests += 1
            node.inbox.append(OperatorRequested(self.requests, OperatorAction.RESUME, node.state.seq))
            return
        due = [(at_us, step) for step, at_us in node.timers.items()]
        state = node.state
        if state.status is SagaStatus.RUNNING and not state.deadline_noted:
            due.append((state.deadline_us, -1))
        require(bool(due), f"I8: nothing is under way and no timer is set in {state.status.name}")
        at_us, step = min(due)
        self.now_us = max(self.now_us, at_us)
        if step < 0:
            node.inbox.append(DeadlineReached())
        else:
            del node.timers[step]
            node.inbox.append(TimerFired(step))

    def claim(self, *, crashed: bool = True) -> None:
        epoch = self.store.claim(self.now_us, crashed=crashed)
        self.owner = Node(self.spec, self.store.state, epoch, len(self.store.entries))
        self.owner.inbox.append(Resumed())

    def bury(self, node: Node) -> None:
        """The node forgets the saga. Its requests stay on their way."""
        for call in self.network:
            call.waits = call.waits and call.node is not node
        if node in self.zombies:
            self.zombies.remove(node)

    def count(self, name: str) -> None:
        self.faults[name] += 1
