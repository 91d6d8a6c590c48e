"""Who waits for which saga. Sagas in memory announce their progress; all others are looked at with one query."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from orchestrator.core.state import TERMINAL, SagaStatus
from orchestrator.engine.ports import JournalStore, StoreUnavailable

log = structlog.get_logger(__name__)

MAX_QUERIED = 5000
"""Sagas in one statement; waiters are bounded by the server's concurrent RPCs."""


class Watch:
    """One waiter's view of a saga: the newest known seq and status, and an event that they changed.

    ``until_over``: its waiter is not woken before :attr:`is_over`.
    """

    def __init__(self, *, until_over: bool = False) -> None:
        self.changed = asyncio.Event()
        self._until_over = until_over
        self.seq = 0
        self.status: SagaStatus | None = None
        self.interrupted = False
        """The node is shutting down: say how the saga stands, or ask elsewhere."""

    def tell(self, seq: int, status: SagaStatus) -> None:
        if seq > self.seq or status is not self.status:
            self.seq, self.status = max(seq, self.seq), status
            if not self._until_over or self.is_over:
                self.changed.set()

    @property
    def is_over(self) -> bool:
        """Terminal or stuck: nothing more happens by itself. Or nobody is left here to see it happen."""
        settled = self.status is not None and (self.status in TERMINAL or self.status is SagaStatus.STUCK)
        return self.interrupted or settled


class Watches:
    """All watches of a node."""

    def __init__(self, store: JournalStore, interval_s: float, is_local: Callable[[UUID], bool]) -> None:
        self._store = store
        self._interval_s = interval_s
        self._is_local = is_local
        self._watches: dict[UUID, dict[Watch, None]] = {}
        """In the order in which they came, which is the order in which they are told."""
        self._some = asyncio.Event()
        self._interrupted = False

    def open(self, saga_id: UUID, *, until_over: bool = False) -> Watch:
        """Starts watching. Must be closed."""
        watch = Watch(until_over=until_over)
        watch.interrupted = self._interrupted
        self._watches.setdefault(saga_id, {})[watch] = None
        self._some.set()
        return watch

    def close(self, saga_id: UUID, watch: Watch) -> None:
        """Stops watching. May be called twice."""
        watches = self._watches.get(saga_id)
        if watches is not None:
            watches.pop(watch, None)
            if not watches:
                del self._watches[saga_id]

    def interrupt(self) -> None:
        """Ends every wait, those to come as well."""
        self._interrupted = True
        for watches in self._watches.values():
            for watch in watches:
                watch.interrupted = True
                watch.changed.set()

    def tell(self, saga_id: UUID, seq: int, status: SagaStatus) -> None:
        """A saga has got this far, durably."""
        for watch in self._watches.get(saga_id, ()):
            watch.tell(seq, status)

    async def run(self) -> None:
        """Looks after watched sagas that are not in memory; asks nothing of the store while there are none."""
        while True:
            await self._some.wait()
            await self.run_once()
            if not self._watches:
                self._some.clear()
            await asyncio.sleep(self._interval_s)

    async def run_once(self) -> None:
        """One look at all of them."""
        remote = [saga_id for saga_id in self._watches if not self._is_local(saga_id)]
        for start in range(0, len(remote), MAX_QUERIED):
            await self._look(remote[start : start + MAX_QUERIED])

    async def _look(self, remote: list[UUID]) -> None:
        try:
            positions = await self._store.positions(remote)
        except StoreUnavailable as error:
            log.warning("watched_sagas_not_read", sagas=len(remote), error=str(error))
            return
        for saga_id, position in positions.items():
            self.tell(saga_id, position.last_seq, position.status)
