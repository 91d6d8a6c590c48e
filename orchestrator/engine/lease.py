"""The node's lease: what allows it to call participants and to write."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from orchestrator.engine.clock import DatabaseClock
from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import LeaseStore, NodeFenced, StoreUnavailable

log = structlog.get_logger(__name__)

RETRY_S = 0.25
"""Pause after a renewal that was not answered: each may take long, and a lease has room for few."""


class LeaseKeeper:
    """Renews the lease of one node incarnation. By the node's own monotonic clock it is held for at most its TTL
    from the moment the renewal was *asked for*, so the node never believes longer than the database does."""

    def __init__(
        self,
        store: LeaseStore,
        clock: DatabaseClock,
        *,
        ttl_s: float,
        interval_s: float,
        on_change: Callable[[bool], None],
        on_fenced: Callable[[UUID], None],
        observer: Observer,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ttl_s = ttl_s
        self._interval_s = interval_s
        self._on_change = on_change
        self._on_fenced = on_fenced
        self._observer = observer
        self._held_until_s = 0.0
        self._answered = True
        self._failures = 0
        self.node_id: UUID | None = None

    @property
    def is_held(self) -> bool:
        """Whether calls may be issued now."""
        return self.node_id is not None and self._clock.monotonic_s() < self._held_until_s

    @property
    def left_s(self) -> float:
        """How much longer the lease is held, by this node's own clock; 0 if it is not."""
        return 0.0 if self.node_id is None else max(0.0, self._held_until_s - self._clock.monotonic_s())

    def lose(self) -> None:
        """The node was fenced, or is leaving."""
        self.node_id = None
        self._held_until_s = 0.0
        self._on_change(False)  # noqa: FBT003  (the one argument of a listener)

    async def register(self, node_id: UUID, name: str, definition_ids: list[int]) -> None:
        """Takes a lease for a new incarnation. Raises ``StoreUnavailable``."""
        asked_at_s = self._clock.monotonic_s()
        database_us = await self._store.register_node(node_id, name, definition_ids, self._ttl_s)
        self._note(database_us, asked_at_s)
        self.node_id = node_id

    async def run(self) -> None:
        """Renews until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s if self._answered else min(RETRY_S, self._interval_s))
            await self.run_once()

    async def run_once(self) -> None:
        """One renewal."""
        node_id = self.node_id
        if node_id is None:
            return
        asked_at_s = self._clock.monotonic_s()
        self._answered = False
        try:
            database_us = await self._store.renew(node_id, self._ttl_s)
        except NodeFenced:
            self._answered = True
            if self.node_id == node_id:
                log.warning("lease_lost", node=str(node_id))
                self._on_fenced(node_id)
        except StoreUnavailable as error:
            log.warning("lease_not_renewed", node=str(node_id), error=str(error))
            self._failures += 1
            self._observer.lease_failed()
            if self._failures > 1:  # one slow renewal is no reason to turn callers away
                self._on_change(False)  # noqa: FBT003  (the one argument of a listener)
        else:
            self._answered = True
            if self.node_id == node_id:
                self._observer.lease_renewed(self._clock.monotonic_s() - asked_at_s)
                self._note(database_us, asked_at_s)
                self._on_change(True)  # noqa: FBT003  (the one argument of a listener)

    def _note(self, database_us: int, asked_at_s: float) -> None:
        self._clock.observe(database_us, asked_at_s, self._clock.monotonic_s())
        self._held_until_s = asked_at_s + self._ttl_s
        self._failures = 0
