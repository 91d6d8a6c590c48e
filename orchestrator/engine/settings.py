"""Bounds of one node's engine."""

from dataclasses import dataclass, field

from orchestrator.core.backoff import CorePolicy
from orchestrator.engine.admission import AdmissionPolicy
from orchestrator.engine.lanes import LanePolicy


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Durations in seconds. The defaults suit a node of its own on a small machine."""

    node_name: str = "node"
    lease_ttl_s: float = 5.0
    """A node that is silent for this long is declared dead."""
    renew_interval_s: float = 1.5
    poll_interval_s: float = 1.0
    """How often to look for dead nodes, due sagas and requests when nothing wakes the node."""
    admission: AdmissionPolicy = field(default_factory=AdmissionPolicy)
    claim_batch_size: int = 500
    max_batch_items: int = 256
    """Sagas in one commit."""
    max_batch_bytes: int = 4 * 1024 * 1024
    park_after_s: float = 30.0
    """A saga that waits longer than this is released and claimed again when it is due."""
    start_timeout_s: float = 10.0
    """How long a start waits for its commit before it says that the outcome is not known."""
    watch_interval_s: float = 0.2
    """How often sagas of other nodes are looked at, all with one query, while somebody waits for one."""
    drain_grace_s: float = 5.0
    """How long attempts under way may go on after a shutdown began."""
    probation_s: float = 1.0
    """How long a saga that may be killing its nodes is watched before the next such one is claimed."""
    lanes: LanePolicy = field(default_factory=LanePolicy)
    core: CorePolicy = field(default_factory=CorePolicy)
