"""What the core asks of the engine, in the imperative.

The engine makes the events of a transition durable *before* it carries out the effects of that transition or of any
later one of the same saga: a result is durable before anything that depends on it begins.
"""

from dataclasses import dataclass

from orchestrator.core.events import Phase
from orchestrator.core.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Invoke:
    """Call a step's participant: its action, its compensation, or its settling."""

    step: int
    phase: Phase
    attempt: int


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    """Cancel the attempt in flight, and answer with ``AttemptCancelled`` or its end once it is over."""

    step: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Answer with ``TimerFired`` at ``at_us``, database time."""

    step: int
    at_us: int


Effect = Invoke | CancelAttempt | SetTimer
