"""Participants in memory: the barrier's table, and a witness that knows what really happened and when it was wrong."""

from dataclasses import dataclass, field
from enum import Enum, auto

from orchestrator.core.definition import SagaSpec, StepKind
from orchestrator.core.events import Phase
from orchestrator.core.graph import ancestors, descendants
from orchestrator.core.outcome import Outcome
from tests.property.tape import Tape


class Violation(AssertionError):  # noqa: N818  (what the run found, not an error of the run)
    """An invariant did not hold; the text begins with its name."""


def require(holds: bool, text: str) -> None:
    """Raises :class:`Violation` with ``text`` unless it ``holds``."""
    if not holds:
        raise Violation(text)


class RowState(Enum):
    ABSENT = auto()
    DONE = auto()
    REJECTED = auto()
    TOMBSTONE = auto()
    UNDONE = auto()


@dataclass(slots=True)
class Row:
    """One row of a barrier: one for each step."""

    state: RowState = RowState.ABSENT
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Bugs:
    """Rules of the barrier to leave out, to see that the checks notice."""

    no_tombstone: bool = False
    no_epoch_check: bool = False


@dataclass(slots=True)
class Fact:
    """What happened to one step at its participant."""

    acts: int = 0
    undos: int = 0
    gone: bool = False
    """The participant answered that the action is undone or never was: from now on it must not be."""
    skippable: bool = False
    """It was settled, and operators act: others may go on without it, or be undone despite it."""
    accepted_epoch: int = 0

    @property
    def in_effect(self) -> bool:
        return self.acts > self.undos


@dataclass(slots=True)
class Participants:
    """Answers calls as the participant contract says. Each call is one transaction."""

    spec: SagaSpec
    tape: Tape
    bugs: Bugs
    operated: bool = False
    rows: list[Row] = field(init=False)
    facts: list[Fact] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [Row() for _ in self.spec.steps]
        self.facts = [Fact() for _ in self.spec.steps]

    def call(self, index: int, phase: Phase, epoch: int) -> tuple[Outcome, RowState]:
        """One delivery. Returns what the caller is told, and for Settle the state of the row."""
        step = self.spec.steps[index]
        if step.kind is StepKind.READ_ONLY:
            return Outcome.REJECTED if self.tape.chance(5) else Outcome.SUCCESS, RowState.ABSENT
        if not step.has_barrier:
            return self._bare(index, phase), RowState.ABSENT
        row = self.rows[index]
        if epoch < row.epoch and not self.bugs.no_epoch_check:
            return Outcome.STALE_EPOCH, row.state
        outcome = {Phase.ACTION: self._act, Phase.COMPENSATION: self._undo, Phase.SETTLE: self._settle}[phase](
            index, epoch
        )
        if outcome not in {Outcome.SUPERSEDED, Outcome.REFUSED}:
            row.epoch = max(row.epoch, epoch)
            self.facts[index].accepted_epoch = max(self.facts[index].accepted_epoch, epoch)
        return outcome, row.state

    def _act(self, index: int, epoch: int) -> Outcome:
        row = self.rows[index]
        if row.state in {RowState.TOMBSTONE, RowState.UNDONE}:
            return Outcome.SUPERSEDED
        if row.state is RowState.DONE:
            return Outcome.SUCCESS
        if row.state is RowState.REJECTED and epoch == row.epoch:
            return Outcome.REJECTED
        if self.tape.chance(10):
            row.state = RowState.REJECTED
            return Outcome.REJECTED
        self._witness_act(index, epoch)
        row.state = RowState.DONE
        return Outcome.SUCCESS

    def _undo(self, index: int, epoch: int) -> Outcome:
        row, fact = self.rows[index], self.facts[index]
        if row.state is RowState.DONE:
            if self.tape.chance(4):
                return Outcome.REFUSED  # the business refuses; nothing is stored
            self._witness_undo(index, epoch)
            row.state = RowState.UNDONE
        elif row.state is not RowState.UNDONE and not self.bugs.no_tombstone:
            row.state = RowState.TOMBSTONE
        fact.gone = True
        return Outcome.SUCCESS

    def _settle(self, index: int, _epoch: int) -> Outcome:
        row = self.rows[index]
        if row.state in {RowState.ABSENT, RowState.REJECTED} and not self.bugs.no_tombstone:
            row.state = RowState.TOMBSTONE
        self.facts[index].gone |= row.state is not RowState.DONE
        self.facts[index].skippable |= self.operated
        return Outcome.SUCCESS

    def _bare(self, index: int, phase: Phase) -> Outcome:
        """Without a barrier every delivery does it again."""
        fact = self.facts[index]
        if phase is Phase.ACTION:
            if self.tape.chance(10):
                return Outcome.REJECTED
            fact.acts += 1
        else:
            fact.undos = fact.acts
        return Outcome.SUCCESS

    def _witness_act(self, index: int, epoch: int) -> None:
        fact = self.facts[index]
        fact.acts += 1
        require(fact.acts == 1, f"I2: the action of step {index} took effect {fact.acts} times")
        require(not fact.gone, f"I4: the action of step {index} took effect after its undo")
        require(epoch >= fact.accepted_epoch, f"I5: step {index} took effect under an epoch older than one accepted")
        for before in ancestors(self.spec, index):
            gone = self.facts[before].gone and not self.facts[before].skippable
            undone = self.spec.steps[before].has_barrier and gone
            require(not undone, f"I4: step {index} took effect after the undo of {before}, which it follows from")

    def _witness_undo(self, index: int, epoch: int) -> None:
        fact = self.facts[index]
        fact.undos += 1
        require(fact.undos == 1 == fact.acts, f"I2: step {index} was done {fact.acts}, undone {fact.undos} times")
        require(epoch >= fact.accepted_epoch, f"I5: step {index} was undone under an epoch older than one accepted")
        for after in descendants(self.spec, index):
            in_effect = self.spec.steps[after].has_barrier and self.facts[after].in_effect
            in_effect = in_effect and not self.facts[after].skippable
            require(not in_effect, f"I3: step {index} was undone while {after}, which follows from it, is in effect")
