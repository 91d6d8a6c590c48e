"""What the checker reads: records that the participants, the database, the network and the callers made. Plain data.

What is made for every call and every entry is a named tuple: of a frozen dataclass only the making would take longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Shape:
    """A definition's graph as plain data."""

    kinds: Mapping[str, str]
    """By step: ``COMPENSATABLE``, ``PIVOT``, ``RETRIABLE`` or ``READ_ONLY``."""
    after: Mapping[str, tuple[str, ...]]
    """By step: the steps that it follows directly."""
    without_barrier: frozenset[str]
    """Steps whose participant keeps none."""
    raises: Mapping[str, bytes]
    """By ``step/PHASE``: how the inputs end for which the builder raises."""
    patience_s: float
    """What its steps' own deadlines and waits allow once nothing fails any more."""


class Delivery(NamedTuple):
    """One call that reached a participant, and what came of it there. In the order of their transactions."""

    at_s: float
    saga_id: str
    step: str
    phase: str
    epoch: int
    payload: bytes
    result: str
    """``done``, ``rejected``, ``undone``, ``buried``, ``replayed``, or the barrier's refusal. Without a barrier
    ``repeated`` for what was in effect already, ``absent`` for an undo of nothing; and ``read`` where nothing is done.
    """


class Sent(NamedTuple):
    """One call that a node sent."""

    at_s: float
    node: str
    saga_id: str
    step: str
    phase: str
    epoch: int
    overlaps: bool
    """An undo, while a call of the same step's action by the same process had not ended."""


class Entry(NamedTuple):
    """One entry of the journal, and when and by whom it was written."""

    seq: int
    kind: int
    epoch: int
    attributes: bytes
    landed_s: float
    node: str


class Asked(NamedTuple):
    """What an operator, or a caller who cancels, asked of a saga, as it is stored."""

    number: int
    saga_id: str
    kind: str
    expected_seq: int | None
    """The version that an operator saw; None for a cancel."""
    caller: str
    reason: str
    consumed_seq: int | None
    """The entry that answers it."""


class Told(NamedTuple):
    """What an operator was told about a request."""

    at_s: float
    saga_id: str
    number: int
    kind: str
    is_granted: bool


@dataclass(slots=True)
class SagaRow:
    """A saga as the database has it."""

    saga_id: str
    definition: str
    request_id: str
    input: bytes
    state: int
    epoch: int
    last_seq: int
    failed_step: str | None
    is_owned: bool
    concurrency_key: str | None
    states: list[tuple[float, int]] = field(default_factory=list)
    """Every state it was given, and when."""
    journal: list[Entry] = field(default_factory=list)
    lost: list[Entry] = field(default_factory=list)
    """Entries that it had before a failover, and not after."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a caller was told about a start."""

    at_s: float
    request_id: str
    input: bytes
    saga_id: str
    conflict: str | None


@dataclass(frozen=True, slots=True)
class Failover:
    """A standby took the database's place, and had nothing that was written after ``kept_until_s``."""

    at_s: float
    kept_until_s: float
    lost: Mapping[str, SagaRow]
    """Sagas of which it had nothing."""


@dataclass(slots=True)
class History:
    """One run."""

    shapes: Mapping[str, Shape]
    sagas: dict[str, SagaRow] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    fenced: dict[str, float] = field(default_factory=dict)
    """When each node that was declared dead was."""
    defects: list[str] = field(default_factory=list)
    """What the engine's own log called a defect, and exceptions that nobody took."""
    failover: Failover | None = None
    unknown: list[str] = field(default_factory=list)
    """Sagas of which a caller was told that they do not exist."""
    healed_s: float | None = None
    """When the last fault ended; None if they never did."""
    ended_s: float = 0.0

    @property
    def lost(self) -> Mapping[str, SagaRow]:
        """Sagas that a failover lost."""
        return {} if self.failover is None else self.failover.lost
