"""What the engine tells the core: things that have happened, in the past tense. Steps are named by their index."""

from dataclasses import dataclass
from enum import IntEnum

from orchestrator.core.events import Failure, Phase
from orchestrator.core.outcome import Outcome
from orchestrator.core.quick import quick


@dataclass(frozen=True, slots=True)
class Begun:
    """A new saga is to be stored, owned by this node under ``epoch``; it must have ended by ``deadline_us``."""

    epoch: int
    deadline_us: int
    trace: bytes = b""
    """What the journal is to keep of the trace that the saga belongs to."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The saga was claimed and its journal folded."""


@quick
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


@quick
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
    """The request of a step could not be built: the definition has a defect. Or a call succeeded whose response cannot
    be read or kept.
    """

    step: int
    phase: Phase
    failure: Failure
    attempt: int = 0
    """The attempt that succeeded; 0: no call was made."""


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


class OperatorAction(IntEnum):
    """What an operator can do to a saga. Numbers as in ``saga.v1``."""

    RETRY = 1
    RETRY_COMPENSATION = 2
    SKIP_STEP = 3
    FORCE_COMPENSATION = 4
    RESOLVE = 5
    PAUSE = 6
    RESUME = 7


@quick
@dataclass(frozen=True, slots=True)
class OperatorRequested:
    """An operator asks for an action, having seen the saga at ``expected_seq``.

    Retries and skips come after a claim that raised the epoch, or a stored verdict would be replayed.
    """

    number: int
    action: OperatorAction
    expected_seq: int
    step: int | None = None
    """None: the step that the saga is stuck at, or those that wait."""
    response: bytes | None = None
    """What stands for the response of a step that is skipped forward."""
    caller: str = ""
    reason: str = ""


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
    | OperatorRequested
)
