"""The use-cases of operators on one node, put together."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from orchestrator.core.backoff import CorePolicy
from orchestrator.definitions.registry import Registry
from orchestrator.engine.api import SagaEngine
from orchestrator.engine.lanes import ParticipantStatus
from orchestrator.operations.acting import Acting
from orchestrator.operations.bulk_work import BulkWork
from orchestrator.operations.orders import Orders
from orchestrator.operations.overviews import Overviews
from orchestrator.operations.ports import OperatorStore
from orchestrator.operations.surroundings import Catalogue, hindrances
from orchestrator.operations.values import AttentionPolicy, Hold

SLACK_S: Final = 30.0
"""Beyond what a saga's own timers explain, before its silence is worth a look."""


class OperatedEngine(SagaEngine, Protocol):
    """The engine as operators use it."""

    @property
    def node_id(self) -> UUID | None: ...
    def participants(self) -> tuple[ParticipantStatus, ...]: ...
    def hold(self, service: str) -> None: ...
    def release(self, service: str) -> None: ...


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """Bounds in seconds."""

    blocked_attention_s: float = 60.0
    park_after_s: float = 30.0
    """The longest that a saga waits in a node's memory."""
    core: CorePolicy = field(default_factory=CorePolicy)


class Operators:
    """What the doors of operators share."""

    def __init__(
        self,
        engine: OperatedEngine,
        store: OperatorStore,
        registry: Registry,
        settings: OperatorSettings,
        *,
        drain: Callable[[], Awaitable[None]],
        addresses: frozenset[str],
        new_id: Callable[[], UUID],
    ) -> None:
        """``drain`` hands the node's sagas over; ``addresses`` are the services that have one; ``new_id``: UUIDv7s."""
        self.engine: Final = engine
        self.store: Final = store
        self.catalogue: Final = Catalogue(registry)
        self.core: Final = settings.core
        silent_s = settings.park_after_s + self.catalogue.longest_attempt_s + SLACK_S
        self.policy: Final = AttentionPolicy(settings.blocked_attention_s, max(silent_s, settings.blocked_attention_s))
        self.acting: Final = Acting(engine, store, settings.core)
        self.overviews: Final = Overviews(store)
        self.bulk_work: Final = BulkWork(self.acting, engine, store)
        self.orders: Final = Orders(store, engine, self.bulk_work, drain)
        self.addresses: Final = addresses
        self.new_id: Final = new_id

    def hindrances(self, holds: Sequence[Hold]) -> Mapping[str, str]:
        """In words, what keeps calls from each participant."""
        return hindrances(self.engine.participants(), holds)
