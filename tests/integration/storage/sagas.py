"""Builds what a node would write, and looks at the tables past the store."""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from orchestrator.core.state import SagaStatus
from orchestrator.engine.stored import Batch, Checkpoint, JournalEntry, NewSaga, RowState
from orchestrator.storage.store import PostgresStore

NOW_US = 1_790_000_000_123_457
LEASE_S = 30.0
_numbers = itertools.count(1)


def next_saga_id() -> UUID:
    """UUIDv7s, each later than the one before."""
    return UUID(int=((NOW_US // 1000) << 80) | (7 << 76) | (2 << 62) | next(_numbers))


def entry(seq: int, kind: int = 4, attributes: bytes = b"details") -> JournalEntry:
    return JournalEntry(seq, kind, attributes, NOW_US + seq)


def row(status: SagaStatus = SagaStatus.RUNNING, reason: str | None = None, message: str | None = None) -> RowState:
    return RowState(status, NOW_US + 600_000_000, failure_reason=reason, failure_message=message)


def checkpoint(
    saga: NewSaga,
    seq: int,
    status: SagaStatus = SagaStatus.RUNNING,
    *,
    epoch: int = 1,
    count: int = 1,
    kind: int = 4,
    release: bool = False,
    wake_at_us: int | None = None,
    consumed: tuple[int, ...] = (),
) -> Checkpoint:
    """Entries ``seq - count + 1`` to ``seq`` of a saga."""
    entries = tuple(entry(each, kind) for each in range(seq - count + 1, seq + 1))
    return Checkpoint(saga.saga_id, epoch, seq, row(status), entries, release, wake_at_us, consumed)


@dataclass
class World:
    """A store on a fresh database with one definition, and a plain connection that looks past it."""

    url: str = field(repr=False)
    store: PostgresStore
    db: "asyncpg.Connection[asyncpg.Record]"
    definition_id: int = 0
    nodes: list[UUID] = field(default_factory=list)

    async def node(self, definition_ids: list[int] | None = None) -> UUID:
        """A registered node."""
        node_id = uuid4()
        ids = [self.definition_id] if definition_ids is None else definition_ids
        await self.store.register_node(node_id, f"node-{len(self.nodes)}", ids, LEASE_S)
        self.nodes.append(node_id)
        return node_id

    def new(
        self,
        request_id: str | None = None,
        *,
        key: str | None = None,
        definition_id: int | None = None,
        tenant: str = "",
        caller: str = "local",
    ) -> NewSaga:
        saga_id = next_saga_id()
        return NewSaga(
            saga_id,
            self.definition_id if definition_id is None else definition_id,
            caller,
            request_id or str(saga_id),
            b"h" * 32,
            key,
            b"input",
            1,
            row(),
            (entry(1, 1),),
            tenant,
        )

    async def start(self, node_id: UUID, count: int = 1, *, key: str | None = None) -> list[NewSaga]:
        """Sagas stored and owned by the node."""
        sagas = [self.new(key=key) for _ in range(count)]
        assert len(await self.store.commit(node_id, Batch(new=tuple(sagas)))) == count
        return sagas

    async def release(self, node_id: UUID, saga: NewSaga, wake_at_us: int | None, *, seq: int = 2) -> None:
        """Lets go of a saga with one more entry."""
        item = checkpoint(saga, seq, release=True, wake_at_us=wake_at_us)
        assert await self.store.commit(node_id, Batch(checkpoints=(item,))) == {saga.saga_id}

    async def lapse(self, node_id: UUID) -> None:
        """The node's lease runs out."""
        await self.db.execute(
            "UPDATE node SET lease_expires_at = clock_timestamp() - interval '1 ms' WHERE node_id = $1", node_id
        )

    async def claim(
        self,
        node_id: UUID,
        *from_nodes: UUID,
        limit: int = 100,
        suspects: bool = False,
        definition_ids: list[int] | None = None,
    ) -> set[UUID]:
        ids = [self.definition_id] if definition_ids is None else definition_ids
        claimed = await self.store.claim(
            node_id,
            ids,
            from_nodes=from_nodes,
            limit=limit,
            suspects=suspects,
            released_attributes=b"released",
            crashed_attributes=b"crashed",
        )
        assert len(set(claimed)) == len(claimed)
        return set(claimed)

    async def make_pending(self, saga: NewSaga) -> None:
        """As if nobody had owned the saga yet."""
        await self.db.execute("UPDATE saga SET state = 1 WHERE saga_id = $1", saga.saga_id)

    async def answer(self, number: int) -> None:
        """A request was answered by its saga's first entry."""
        await self.db.execute("UPDATE saga_request SET consumed_seq = 1 WHERE number = $1", number)

    async def raise_incarnation(self) -> None:
        """What an operator does after a lossy failover."""
        await self.db.execute("UPDATE store_incarnation SET incarnation = incarnation + 1")

    async def saga(self, saga: NewSaga) -> Mapping[str, Any]:
        """The row as it is."""
        found = await self.db.fetchrow("SELECT * FROM saga WHERE saga_id = $1", saga.saga_id)
        assert found is not None
        return dict(found)

    async def seqs(self, saga: NewSaga) -> list[int]:
        """The journal's seqs, in order."""
        rows = await self.db.fetch("SELECT seq FROM saga_event WHERE saga_id = $1 ORDER BY seq", saga.saga_id)
        return [each["seq"] for each in rows]

    async def waits_for_lock(self, purpose: str, statements: int = 1) -> None:
        """Returns when statements of the store's connections for ``purpose`` wait for locks."""
        query = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = $1 AND wait_event_type = 'Lock'
        """
        async with asyncio.timeout(10):
            while await self.db.fetchval(query, f"orchestrator {purpose}") < statements:
                pass


async def fence(world: World, *nodes: UUID) -> None:
    """Another node finds that the leases of these ran out."""
    for node in nodes:
        await world.lapse(node)
    await world.store.fence_expired(world.nodes[-1])
