"""The engine's store on the database in memory, over a link that may fail."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar
from uuid import UUID

from orchestrator.engine.ports import DefinitionChanged
from orchestrator.engine.stored import (
    Batch,
    MissingDefinition,
    Position,
    RowState,
    SagaFilter,
    SagaRequest,
    Sight,
    StoredEntry,
    StoredSaga,
    Visibility,
)
from orchestrator.operations.values import SagaAction
from tests.simulation.database import Database
from tests.simulation.tables import Saga

ResultT = TypeVar("ResultT")


class Link(Protocol):
    """Carries a statement to the database and its answer back, or raises ``StoreUnavailable``."""

    def ask(self, name: str, statement: Callable[[], ResultT], *, writes: bool = False) -> Awaitable[ResultT]:
        """``writes`` says that it matters whether a statement without an answer took effect."""

    def hear(self, node_id: UUID) -> "asyncio.Queue[str]":
        """Hints for the node from now on."""


class DirectLink:
    """Never fails: for the conformance suite."""

    def __init__(self) -> None:
        self._heard: dict[UUID, asyncio.Queue[str]] = {}

    async def ask(self, _name: str, statement: Callable[[], ResultT], *, writes: bool = False) -> ResultT:
        """See :class:`Link`."""
        await asyncio.sleep(0)
        del writes
        return statement()

    def hear(self, node_id: UUID) -> "asyncio.Queue[str]":
        """See :class:`Link`."""
        return self._heard.setdefault(node_id, asyncio.Queue())

    def notify(self, hint: str, node_id: UUID | None) -> None:
        """What the database tells."""
        for heard in self._heard.values() if node_id is None else [self.hear(node_id)]:
            heard.put_nowait(hint)


class SimulatedStore:
    """Implements ``orchestrator.engine.ports.Store``, and how operators' requests are stored."""

    def __init__(self, database: Database, link: Link) -> None:
        self._database = database
        self._link = link

    # ---- journal ----

    async def commit(self, node_id: UUID, batch: Batch) -> frozenset[UUID]:
        """See ``JournalStore.commit``."""
        return await self._link.ask("commit", lambda: self._database.commit(node_id, _storable(batch)), writes=True)

    async def positions(self, saga_ids: Sequence[UUID]) -> Mapping[UUID, Position]:
        """See ``JournalStore.positions``."""
        sagas = self._database.sagas
        return await self._link.ask(
            "positions",
            lambda: {
                saga.saga_id: Position(saga.owner, saga.epoch, saga.last_seq, saga.row.status)
                for saga in map(sagas.get, saga_ids)
                if saga is not None
            },
        )

    async def find_request(self, caller: str, request_id: str) -> StoredSaga | None:
        """See ``JournalStore.find_request``."""

        def find() -> StoredSaga | None:
            saga = self._database.find_request(caller, request_id)
            return None if saga is None else self._stored(saga)

        return await self._link.ask("find_request", find)

    async def find_live_key(self, tenant: str, definition: str, concurrency_key: str) -> UUID | None:
        """See ``JournalStore.find_live_key``."""
        return await self._link.ask(
            "find_key", lambda: self._database.find_live_key(tenant, definition, concurrency_key)
        )

    # ---- leases ----

    async def check_schema(self) -> None:
        """See ``LeaseStore.check_schema``: there is no schema to be unknown."""
        await self._link.ask("check_schema", lambda: None)

    async def register_definitions(
        self, definitions: Sequence[tuple[str, int, bytes]]
    ) -> Mapping[tuple[str, int], int]:
        """See ``LeaseStore.register_definitions``."""
        ids = await self._link.ask("define", lambda: self._database.register_definitions(definitions), writes=True)
        for name, version, digest in definitions:
            if self._database.definitions[ids[name, version]][2] != digest:
                raise DefinitionChanged(f"registered with another digest: {name} v{version}; give it a new version")
        return ids

    async def register_node(self, node_id: UUID, name: str, definition_ids: Sequence[int], lease_ttl_s: float) -> int:
        """See ``LeaseStore.register_node``."""
        return await self._link.ask(
            "register", lambda: self._database.register_node(node_id, name, definition_ids, lease_ttl_s), writes=True
        )

    async def renew(self, node_id: UUID, lease_ttl_s: float) -> int:
        """See ``LeaseStore.renew``."""
        return await self._link.ask("renew", lambda: self._database.renew(node_id, lease_ttl_s), writes=True)

    async def release_node(self, node_id: UUID) -> int:
        """See ``LeaseStore.release_node``."""
        return await self._link.ask("release", lambda: self._database.release_node(node_id), writes=True)

    async def fence_expired(self, node_id: UUID) -> Sequence[UUID]:
        """See ``LeaseStore.fence_expired``."""
        return await self._link.ask("fence", lambda: self._database.fence_expired(node_id), writes=True)

    async def incarnation(self) -> int:
        """See ``LeaseStore.incarnation``."""
        return await self._link.ask("incarnation", lambda: self._database.incarnation)

    async def claim(
        self,
        node_id: UUID,
        definition_ids: Sequence[int],
        *,
        from_nodes: Sequence[UUID],
        limit: int,
        suspects: bool,
        released_attributes: bytes,
        crashed_attributes: bytes,
    ) -> Sequence[UUID]:
        """See ``LeaseStore.claim``."""
        attributes = (released_attributes, crashed_attributes)
        return await self._link.ask(
            "claim",
            lambda: self._database.claim(
                node_id, definition_ids, from_nodes, limit, suspects=suspects, attributes=attributes
            ),
            writes=True,
        )

    async def owned(self, node_id: UUID) -> Sequence[UUID]:
        """See ``LeaseStore.owned``."""
        return await self._link.ask("owned", lambda: self._database.owned(node_id))

    async def look(self, node_id: UUID, definition_ids: Sequence[int]) -> Sight:
        """See ``LeaseStore.look``."""
        return await self._link.ask("look", lambda: self._database.look(node_id, definition_ids))

    async def missing_definitions(self) -> Sequence[MissingDefinition]:
        """See ``LeaseStore.missing_definitions``."""
        return await self._link.ask("missing", self._database.missing_definitions)

    # ---- requests ----

    async def add_request(self, saga_id: UUID, caller: str, request_id: str, kind: str) -> int:
        """See ``RequestStore.add_request``."""
        return await self._link.ask(
            "add_request", lambda: self._database.add_request(saga_id, caller, request_id, kind), writes=True
        )

    async def add_action(self, action: SagaAction) -> int:
        """See ``OperatorStore.add_action``."""
        return await self._link.ask("add_action", lambda: self._database.add_action(action), writes=True)

    async def forget_requests(self) -> int:
        """See ``RequestStore.forget_requests``."""
        return await self._link.ask("forget", self._database.forget_requests, writes=True)

    async def pending_requests(self, node_id: UUID) -> Sequence[SagaRequest]:
        """See ``RequestStore.pending_requests``."""
        return await self._link.ask("pending", lambda: self._database.pending_requests(node_id))

    async def request_outcome(self, saga_id: UUID, number: int) -> StoredEntry | None:
        """See ``RequestStore.request_outcome``."""
        return await self._link.ask("outcome", lambda: self._database.request_outcome(saga_id, number))

    # ---- reads ----

    async def load(self, saga_ids: Sequence[UUID]) -> Sequence[StoredSaga]:
        """See ``QueryStore.load``."""
        sagas = self._database.sagas
        return await self._link.ask(
            "load", lambda: [self._stored(sagas[each], journal=True) for each in saga_ids if each in sagas]
        )

    async def list_sagas(self, where: SagaFilter, *, limit: int, before: UUID | None) -> Sequence[StoredSaga]:
        """See ``QueryStore.list_sagas``."""

        def matches(saga: StoredSaga) -> bool:
            return (
                (where.definition is None or saga.definition == where.definition)
                and (where.version is None or saga.version == where.version)
                and (not where.states or saga.row.status in where.states)
                and (where.concurrency_key is None or saga.concurrency_key == where.concurrency_key)
                and (where.created_from_us is None or saga.created_us >= where.created_from_us)
                and (where.created_to_us is None or saga.created_us < where.created_to_us)
                and (before is None or saga.saga_id < before)
                and _is_visible(saga, where.visibility)
            )

        def find() -> list[StoredSaga]:
            newest = sorted(self._database.sagas.values(), key=lambda saga: saga.saga_id, reverse=True)
            return [stored for stored in map(self._stored, newest) if matches(stored)][:limit]

        return await self._link.ask("list", find)

    async def visible(self, saga_ids: Sequence[UUID], visibility: Visibility) -> frozenset[UUID]:
        """See ``QueryStore.visible``."""
        sagas = self._database.sagas
        return await self._link.ask(
            "visible",
            lambda: frozenset(each for each in saga_ids if each in sagas and _is_visible(sagas[each], visibility)),
        )

    async def list_entries(self, saga_id: UUID, *, after_seq: int, limit: int) -> Sequence[StoredEntry]:
        """See ``QueryStore.list_entries``."""
        saga = self._database.sagas.get(saga_id)
        journal = [] if saga is None else saga.journal
        return await self._link.ask("entries", lambda: journal[after_seq : after_seq + limit])

    # ---- wake-ups ----

    async def listen(self, node_id: UUID) -> AsyncGenerator[str, None]:
        """See ``Wakeups.listen``."""
        heard = self._link.hear(node_id)
        for hint in ("claimable", "request"):
            yield hint
        while True:
            yield await heard.get()

    def _stored(self, saga: Saga, *, journal: bool = False) -> StoredSaga:
        name, version, digest = self._database.definitions[saga.definition_id]
        return StoredSaga(
            saga.saga_id,
            name,
            version,
            digest,
            saga.caller,
            saga.request_id,
            saga.request_hash,
            saga.concurrency_key,
            saga.input,
            saga.owner,
            saga.epoch,
            saga.last_seq,
            saga.row,
            saga.wake_at_us,
            saga.created_us,
            saga.updated_us,
            saga.ended_us,
            tuple(saga.journal) if journal else (),
            self._database.is_loaded(saga.definition_id),
            saga.tenant,
        )


def _is_visible(saga: Saga | StoredSaga, visibility: Visibility) -> bool:
    """As ``orchestrator/storage/visibility.py`` says it in SQL."""
    of_tenant = visibility.tenants is None or saga.tenant in visibility.tenants
    return of_tenant and (visibility.caller is None or saga.caller == visibility.caller)


def _storable(batch: Batch) -> Batch:
    """The batch as a database can store it: without NUL in what people read."""
    rows = [item.row for item in batch.new] + [item.row for item in batch.checkpoints]
    if "\0" not in "".join(map(_texts, rows)):
        return batch
    return replace(
        batch,
        new=tuple(replace(item, row=_clean(item.row)) for item in batch.new),
        checkpoints=tuple(replace(item, row=_clean(item.row)) for item in batch.checkpoints),
    )


def _texts(row: RowState) -> str:
    return f"{row.failed_step}{row.failure_reason}{row.failure_message}{row.blocked_reason}"


def _clean(row: RowState) -> RowState:
    def shown(text: str | None) -> str | None:
        return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")

    return replace(
        row,
        failed_step=shown(row.failed_step),
        failure_reason=shown(row.failure_reason),
        failure_message=shown(row.failure_message),
        blocked_reason=shown(row.blocked_reason),
    )
