"""A store between the engine and the real one, which fails as the test says."""

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any
from uuid import UUID

from orchestrator.engine.ports import StoreUnavailable
from orchestrator.engine.stored import Batch
from orchestrator.storage.store import PostgresStore


class CommitFault(Enum):
    """What becomes of one commit."""

    ANSWER_LOST = auto()
    """It lands, and the answer does not come."""
    NEVER_SENT = auto()
    """It does not land."""
    LATE_BEFORE_RETRY = auto()
    """It lands once the engine has begun the next one, just before that."""
    LATE_AFTER_RETRY = auto()
    """It arrives at the store when the next one has landed."""


class FaultyStore:
    """Everything that is not said here is the real store's."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self.commits: list[Batch] = []
        """Every batch that the engine handed over, repeats included."""
        self.commit_faults: deque[CommitFault | None] = deque()
        self.commit_gate = asyncio.Event()
        """While it is not set, commits wait before they are sent."""
        self.commit_gate.set()
        self.commits_waiting = 0
        self.away = False
        """Nothing answers."""
        self.renewals_away = False
        self.renewing = 0
        self.claim_answers_lost = 0
        self.claims_landed: list[UUID] = []
        self._late: tuple[UUID, Batch] | None = None
        self._late_after = False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise StoreUnavailable("away")
        return getattr(self._store, name)

    async def commit(self, node_id: UUID, batch: Batch) -> frozenset[UUID]:
        self.commits.append(batch)
        self.commits_waiting += 1
        await self.commit_gate.wait()
        self.commits_waiting -= 1
        if self.away:
            raise StoreUnavailable("away")
        late, self._late = self._late, None
        fault = self.commit_faults.popleft() if self.commit_faults else None
        if fault in {CommitFault.LATE_BEFORE_RETRY, CommitFault.LATE_AFTER_RETRY}:
            self._late, self._late_after = (node_id, batch), fault is CommitFault.LATE_AFTER_RETRY
            raise StoreUnavailable("no answer yet")
        if fault is CommitFault.NEVER_SENT:
            raise StoreUnavailable("not sent")
        return await self._send(node_id, batch, late, lose=fault is CommitFault.ANSWER_LOST)

    async def _send(
        self, node_id: UUID, batch: Batch, late: tuple[UUID, Batch] | None, *, lose: bool
    ) -> frozenset[UUID]:
        if late is not None and not self._late_after:
            await self._store.commit(*late)
        written = await self._store.commit(node_id, batch)
        if late is not None and self._late_after:
            assert await self._store.commit(*late) == frozenset(), "what lands late is refused"
        if lose:
            raise StoreUnavailable("the answer was lost")
        return written

    async def renew(self, node_id: UUID, lease_ttl_s: float) -> int:
        if self.away or self.renewals_away:
            raise StoreUnavailable("away")
        self.renewing += 1
        try:
            return await self._store.renew(node_id, lease_ttl_s)
        finally:
            self.renewing -= 1

    async def claim(self, *args: Any, **more: Any) -> Sequence[UUID]:
        if self.away:
            raise StoreUnavailable("away")
        claimed = await self._store.claim(*args, **more)
        if claimed and self.claim_answers_lost:
            self.claim_answers_lost -= 1
            self.claims_landed += claimed
            raise StoreUnavailable("the answer was lost")
        return claimed
