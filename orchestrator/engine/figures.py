"""How a node stands at a moment, for gauges."""

from dataclasses import dataclass

from orchestrator.engine.lanes import ParticipantStatus


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one engine."""

    in_memory: int
    """Sagas."""
    max_in_memory: int
    to_write: int
    """Sagas that have something to write and are in no batch yet."""
    store_answers: bool
    delay_s: float
    """How far the node lags behind, for longer than a moment."""
    lease_left_s: float
    """How much longer this node may call participants, by its own clock."""
    healthy: bool
    participants: tuple[ParticipantStatus, ...]
