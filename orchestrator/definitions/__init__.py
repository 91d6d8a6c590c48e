"""The Python way to declare a saga, and what the engine needs of it once it is loaded."""

from orchestrator.core.definition import PERSISTENT_RETRY, RetryPolicy, StepKind
from orchestrator.core.outcome import Outcome
from orchestrator.definitions.saga import Saga, Step

__all__ = ["PERSISTENT_RETRY", "Outcome", "RetryPolicy", "Saga", "Step", "StepKind"]
