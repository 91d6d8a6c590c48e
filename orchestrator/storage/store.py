"""The store as one adapter of the engine's ports."""

from typing import Self

from orchestrator.storage.audit import Audit
from orchestrator.storage.bulks import Bulks
from orchestrator.storage.claims import Claims
from orchestrator.storage.connections import Connections
from orchestrator.storage.holds import Holds
from orchestrator.storage.journal import Journal
from orchestrator.storage.leases import Leases
from orchestrator.storage.operator_queries import OperatorQueries
from orchestrator.storage.overview import Overview
from orchestrator.storage.queries import Queries
from orchestrator.storage.registry import Registry
from orchestrator.storage.requests import Requests
from orchestrator.storage.settings import StorageSettings
from orchestrator.storage.wakeups import Wakeups


class PostgresStore(
    Journal, Leases, Claims, Registry, Requests, Queries, Wakeups, OperatorQueries, Overview, Audit, Bulks, Holds
):
    """Implements the ports ``Store`` of the engine and ``OperatorStore`` on PostgreSQL. Open and close are idempotent.

    Every call is bounded by its statement's timeouts and raises ``StoreUnavailable`` if the database does not answer;
    the next call connects again. Nothing is retried inside but what the server surely rolled back.
    """

    def __init__(self, settings: StorageSettings) -> None:
        super().__init__(Connections(settings))

    async def open(self) -> None:
        """Connects. Raises ``StoreUnavailable`` if the database is away; may be called again then."""
        await self._connections.open()

    async def close(self) -> None:
        """Lets commits under way end, within their own timeouts, and closes every connection."""
        await self.commits_ended()
        await self._connections.close()

    def pool_use(self) -> tuple[int, int, int]:
        """Connections that statements share: open, in use, and how many there may be."""
        return self._connections.pool_use()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.close()
