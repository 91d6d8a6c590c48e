"""What can be wrong with a definition, and with what it is given to work on.

No message carries a payload: these errors end up in logs, journals and answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, what, and what to do about it."""

    where: str
    """Such as ``saga "place-order" v1, step "reserve"``."""
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class DefinitionErrors(Exception):  # noqa: N818  (it holds several)
    """Everything that is wrong with what was loaded, one :class:`Fault` each."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class PayloadError(Exception):
    """Stored or received bytes are not the message that the definition expects."""


class ConcurrencyKeyError(Exception):
    """The input gives no usable concurrency key: empty, too long, or holding a NUL."""


class BuilderError(Exception):
    """The definition's own code failed. Repeating it cannot help: builders are pure functions."""

    def __init__(self, saga: str, step: str, phase: str, reason: str) -> None:
        """``saga``: name and version. ``step``: empty for what belongs to no step. ``reason``: free of payload."""
        self.saga = saga
        self.step = step
        self.phase = phase
        self.reason = reason
        place = f"step {step}, {phase}" if step else phase
        super().__init__(f"saga {saga}, {place}: {reason}; mend the definition under a new version")
