"""Where a saga and its steps stand."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from orchestrator.core.events import Failure, Phase
from orchestrator.core.quick import quick


class SagaStatus(IntEnum):
    """Numbers as in ``saga.v1.SagaState``, and as the database stores them."""

    PENDING = 1
    RUNNING = 2
    COMPLETED = 3
    COMPENSATING = 4
    COMPENSATED = 5
    STUCK = 6
    RESOLVED = 7


class StepStatus(IntEnum):
    """Numbers as in ``saga.v1.StepState``."""

    PENDING = 1
    RUNNING = 2
    SUCCEEDED = 3
    REJECTED = 4
    UNKNOWN = 5
    COMPENSATING = 6
    COMPENSATED = 7
    SKIPPED = 8
    STUCK = 9


TERMINAL: Final = frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.RESOLVED})

INCARNATION_SHIFT: Final = 32
"""An epoch is ``incarnation << 32 | counter``: one number that orders both."""


@dataclass(frozen=True, slots=True)
class StepState:
    """One step. The last two fields are what this node is doing about it: not in the journal, not compared."""

    status: StepStatus = StepStatus.PENDING
    attempts: int = 0
    """Attempts of the action whose end is known."""
    counted_attempts: int = 0
    """Those of the current phase that spend the attempt budget."""
    compensation_attempts: int = 0
    budget_from_us: int = 0
    """Since when the current phase spends its time budget; of a blocked step, since when it is blocked."""
    next_attempt_us: int = 0
    """When the next attempt is due; 0 is now."""
    had_unknown: bool = False
    """Some attempt of the action may have taken effect although its answer did not say so."""
    response: bytes | None = None
    failure: Failure | None = None
    blocked: Failure | None = None
    in_flight: Phase | None = field(default=None, compare=False)
    timer_us: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ByHand:
    """What operators did to a saga, as far as it decides what comes next."""

    paused_us: int = 0
    """Since when the saga is paused; 0: it is not."""
    is_resolving: bool = False
    """It is on its way from STUCK to RESOLVED: what may have run is settled, and nothing else is called."""
    leaves_effects: bool = False
    """The undo of some step was left out, so the way back ends RESOLVED."""
    skips: tuple[tuple[int, bytes], ...] = ()
    """Steps that are skipped forward once they are settled, with what then stands for their responses."""
    cause: tuple[int | None, Failure | None] | None = None
    """What had turned a saga around that then got stuck: its failed step, and its failure."""


UNTOUCHED: Final = ByHand()


@quick
@dataclass(frozen=True, slots=True)
class SagaState:
    """One saga. ``seq`` is the position of the last event that is folded in."""

    saga_id: str
    status: SagaStatus
    steps: tuple[StepState, ...]
    seq: int = 0
    epoch: int = 0
    deadline_us: int = 0
    deadline_noted: bool = False
    failed_step: int | None = None
    failure: Failure | None = None
    stuck_phase: Phase | None = None
    stuck_from: SagaStatus | None = None
    """The direction it was going when it got stuck."""
    stale_claims: int = 0
    """Claims from a dead node since the last event that was progress."""
    unsure: bool = False
    """Claimed under a newer incarnation: the journal may lack its end, so every step may have run."""

    moved_seq: int = 0
    """Position of the last event that is neither a claim nor a refusal: what was seen from there on still holds."""
    by_hand: ByHand = UNTOUCHED

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


WAITING: Final = frozenset({StepStatus.RUNNING, StepStatus.UNKNOWN, StepStatus.COMPENSATING})


def hindered_step(state: SagaState) -> int | None:
    """The step that holds a saga up that goes on by itself: a blocked one, else one that waits after a failure."""
    waiting = None
    for index, step in enumerate(state.steps):
        if step.next_attempt_us and step.status in WAITING:
            if step.blocked is not None:
                return index
            waiting = index if waiting is None else waiting
    return waiting
