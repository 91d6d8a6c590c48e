"""The graph that a saga follows, as the core needs it: indices and policies, no protobuf."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final


class StepKind(IntEnum):
    """What a step may do to its saga (Richardson, Microservices Patterns, chapter 4). Numbers as in ``saga.v1``."""

    COMPENSATABLE = 1
    PIVOT = 2
    RETRIABLE = 3
    READ_ONLY = 4


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter: wait ``random(0, min(max_backoff_s, initial_backoff_s * multiplier**n))``.

    A budget is spent after ``max_attempts`` attempts, or once ``budget_s`` seconds have passed since the first attempt.
    Times are seconds of the database's clock.
    """

    initial_backoff_s: float = 0.2
    multiplier: float = 2.0
    max_backoff_s: float = 30.0
    max_attempts: int = 10
    budget_s: float = 300.0


PERSISTENT_RETRY: Final = RetryPolicy(max_backoff_s=120.0, max_attempts=1000, budget_s=86_400.0)
"""For what must go through: a participant that is away for the night must not leave its sagas to an operator."""


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One node of the graph. ``predecessors`` and ``successors`` are indices into :attr:`SagaSpec.steps`."""

    name: str
    kind: StepKind
    predecessors: tuple[int, ...]
    successors: tuple[int, ...]
    retry: RetryPolicy
    compensation_retry: RetryPolicy
    timeout_s: float
    """Deadline of one attempt of the action."""
    compensation_timeout_s: float
    """Deadline of one attempt of the compensation."""
    has_compensation: bool
    has_barrier: bool


@dataclass(frozen=True, slots=True)
class SagaSpec:
    """A definition: its identity and its steps in topological order."""

    name: str
    version: int
    digest: bytes
    """SHA-256 over graph, policies, method names and builders."""
    steps: tuple[StepSpec, ...]
    deadline_s: float
    """From start to when the saga must have ended."""
    pivot: int | None
    """Index of the pivot, if there is one."""
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Of the steps, by index."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(step.name for step in self.steps))
