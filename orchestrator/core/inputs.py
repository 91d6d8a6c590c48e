"""What the engine tells the core: things that have happened, in the past tense. Steps are named by their index."""

from dataclasses import dataclass

from orchestrator.core.events import Failure, Phase
from orchestrator.core.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Begun:
    """A new saga is to be stored, owned by this node under ``epoch``; it must have ended by ``deadline_us``."""

    epoch: int
    deadline_us: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The saga was claimed and its journal folded."""


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An RPC of a step's action or compensation answered, or its deadline passed."""

    step: int
    phase: Phase
    attempt: int
    outcome: Outcome
    response: bytes = b""
    failure: Failure | None = None
    retry_after_us: int | None = None
    """The participant's own wish, if it had one."""
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class AttemptCancelled:
    """An attempt that the core asked to cancel has ended."""

    step: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class StepSettled:
    """A participant settled a step: ``done`` with its response, or never done; ``undone`` is neither."""

    step: int
    done: bool
    undone: bool
    response: bytes
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """The request of a step could not be built, or its response could not be read: the definition has a defect."""

    step: int
    phase: Phase
    failure: Failure


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer of a step came due."""

    step: int


@dataclass(frozen=True, slots=True)
class StepUnblocked:
    """What a blocked step waits for is there again, before its timer came due."""

    step: int


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The saga's deadline came."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody asked the saga to turn around."""

    number: int


Input = (
    Begun
    | Resumed
    | AttemptEnded
    | AttemptCancelled
    | StepSettled
    | BuildFailed
    | TimerFired
    | StepUnblocked
    | DeadlineReached
    | CancelRequested
)
