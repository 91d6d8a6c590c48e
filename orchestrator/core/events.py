"""What happened to a saga: the entries of its journal. Folding them yields the state (:mod:`orchestrator.core.fold`).

Times are integer microseconds since the Unix epoch, by the database's clock. A step is named by its index.
"""

from dataclasses import dataclass
from enum import IntEnum

from orchestrator.core.quick import quick


class Phase(IntEnum):
    """Which of a step's calls is meant. Numbers as in ``saga.v1``."""

    ACTION = 1
    COMPENSATION = 2
    SETTLE = 3


class CompensationCause(IntEnum):
    """Why a saga turned around. Numbers as in ``saga.v1``."""

    STEP_FAILED = 1
    CANCELLED = 2
    DEADLINE = 3
    OPERATOR = 4


@quick
@dataclass(frozen=True, slots=True)
class Failure:
    """Why something did not go through. ``code`` is a gRPC status code, or 0 where no RPC was involved."""

    code: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class SagaStarted:
    """The saga was acknowledged. ``trace`` is kept for whoever runs it, and means nothing here."""

    deadline_us: int
    trace: bytes = b""


@dataclass(frozen=True, slots=True)
class SagaClaimed:
    """A node took the saga over, under the entry's epoch. ``crashed``: the owner before had not let go of it."""

    node_id: str
    crashed: bool = True


@dataclass(frozen=True, slots=True)
class StepIntended:
    """A step whose effect cannot be taken back, or proved absent, is about to be called."""

    step: int


@quick
@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt ended and another one follows. ``counted`` attempts spend the attempt budget."""

    step: int
    phase: Phase
    attempt: int
    failure: Failure
    unknown: bool
    counted: bool
    next_attempt_us: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class StepBlocked:
    """A step waits for something outside the saga and tries again by itself, spending no attempts."""

    step: int
    phase: Phase
    failure: Failure
    next_attempt_us: int


@quick
@dataclass(frozen=True, slots=True)
class StepSucceeded:
    """An action took effect. ``attempt`` is 0 if the step was settled."""

    step: int
    attempt: int
    response: bytes
    duration_ms: int


@quick
@dataclass(frozen=True, slots=True)
class StepRejected:
    """An action provably took no effect. ``attempt`` is 0 if the step was settled."""

    step: int
    attempt: int
    failure: Failure
    duration_ms: int


@quick
@dataclass(frozen=True, slots=True)
class StepUnknown:
    """An action may have taken effect, and is not tried again."""

    step: int
    attempt: int
    failure: Failure
    duration_ms: int


@quick
@dataclass(frozen=True, slots=True)
class CompensationStarted:
    """The saga turned around."""

    cause: CompensationCause
    step: int | None
    failure: Failure


@quick
@dataclass(frozen=True, slots=True)
class StepCompensated:
    """A step was undone."""

    step: int
    attempt: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class SagaCompleted:
    """Every step succeeded."""


@dataclass(frozen=True, slots=True)
class SagaCompensated:
    """Everything that may have taken effect was undone."""


@dataclass(frozen=True, slots=True)
class SagaStuck:
    """Only an operator can move the saga. ``step`` is None if no step is to blame.

    ``attempt`` is the one whose end this is; 0 if none ended, or if an event before tells of it.
    """

    step: int | None
    phase: Phase
    failure: Failure
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The deadline passed where the saga could no longer turn around."""


@quick
@dataclass(frozen=True, slots=True)
class RequestConsumed:
    """A request from outside was granted, or refused with a reason. ``caller`` and ``reason`` are an operator's."""

    number: int
    kind: str
    refusal: Failure | None
    caller: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SagaPaused:
    """An operator paused the saga: it begins no more calls."""


@dataclass(frozen=True, slots=True)
class SagaUnpaused:
    """An operator let the saga go on after a pause."""


@dataclass(frozen=True, slots=True)
class StepRetried:
    """An operator had a step tried again, or a stuck saga go on (``step`` is None): where it was, with a new budget."""

    step: int | None
    phase: Phase


@dataclass(frozen=True, slots=True)
class SkipBegun:
    """An operator has a step skipped: it is settled first. ``response`` stands for its own, forward."""

    step: int
    response: bytes


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """Forward: a step never ran, and never will. Backward: its undo is left out, and its effect stays."""

    step: int


@dataclass(frozen=True, slots=True)
class ResolutionBegun:
    """An operator resolves a stuck saga by hand: what may have run is settled first."""


@quick
@dataclass(frozen=True, slots=True)
class StepSettled:
    """A participant settled a step on the way to a resolution or a skip: ``done``, ``undone``, or never to run."""

    step: int
    done: bool
    undone: bool
    response: bytes
    duration_ms: int


@dataclass(frozen=True, slots=True)
class SagaResolved:
    """The saga was settled by hand."""


Event = (
    SagaStarted
    | SagaClaimed
    | StepIntended
    | AttemptFailed
    | StepBlocked
    | StepSucceeded
    | StepRejected
    | StepUnknown
    | CompensationStarted
    | StepCompensated
    | SagaCompleted
    | SagaCompensated
    | SagaStuck
    | DeadlinePassed
    | RequestConsumed
    | SagaPaused
    | SagaUnpaused
    | StepRetried
    | SkipBegun
    | StepSkipped
    | ResolutionBegun
    | StepSettled
    | SagaResolved
)
