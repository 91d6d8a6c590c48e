"""Finds sagas that nobody runs and requests that wait: after a death, after a release, when a parked saga is due."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol
from uuid import UUID

import structlog

from orchestrator.core.events import SagaClaimed
from orchestrator.engine.journal import encode
from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import NodeFenced, Store, StoreUnavailable
from orchestrator.engine.settings import EngineSettings
from orchestrator.engine.stored import SagaRequest, StoredSaga

log = structlog.get_logger(__name__)

TIDY_INTERVAL_S = 30.0
"""How often sagas that no node can run are named, and requests to ended ones forgotten."""
MAX_LOADED = 250
"""Sagas that are loaded together: they are taken into memory in one go, while nothing else is done."""
OWNED_INTERVAL_S = 10.0
"""How often to compare memory with the store unasked: a claim without an answer may land long after it was made."""


class TakeoverHost(Protocol):
    """What takeover asks of the engine."""

    @property
    def node_id(self) -> UUID | None: ...
    @property
    def room(self) -> int: ...
    def has_run(self, saga_id: UUID) -> bool: ...
    def has_moved(self, saga_id: UUID) -> bool: ...
    def adopt(self, stored: StoredSaga) -> None: ...
    def give_requests(self, requests: list[SagaRequest]) -> None: ...


class Takeover:
    """One background service: ``run_once`` does all there is to do."""

    def __init__(
        self,
        store: Store,
        settings: EngineSettings,
        host: TakeoverHost,
        *,
        definition_ids: list[int],
        on_fenced: Callable[[UUID], None],
        monotonic_s: Callable[[], float],
        uniform: Callable[[float, float], float],
        observer: Observer,
    ) -> None:
        self._store = store
        self._settings = settings
        self._host = host
        self._definition_ids = definition_ids
        self._on_fenced = on_fenced
        self._monotonic_s = monotonic_s
        self._uniform = uniform
        self._observer = observer
        self._wake = asyncio.Event()
        self._check_owned = True
        self._owned_checked_s = 0.0
        self._probation: tuple[UUID, float] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._tidied_s = 0.0

    def wake(self) -> None:
        """Something may be there to claim or to consume."""
        self._wake.set()

    def note_progress(self, saga_id: UUID) -> None:
        """A saga got on. If it is the one on probation, the next one may be tried."""
        if self._probation is not None and self._probation[0] == saga_id:
            self._wake.set()

    def joined(self) -> None:
        """The node has a new id: notifications and sagas are looked for under that one."""
        if self._hearing is not None:
            self._hearing.cancel()
        self.check_owned()

    def check_owned(self) -> None:
        """A claim may have landed unseen, or a saga was dropped from memory: look what the store holds for the node."""
        self._check_owned = True
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled: when woken, and every ``poll_interval_s``."""
        while True:
            interval_s = self._settings.poll_interval_s * self._uniform(0.8, 1.2)
            poll = asyncio.get_running_loop().call_later(interval_s, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                poll.cancel()
            self._wake.clear()
            node_id = self._host.node_id
            if node_id is None:
                continue
            try:
                await self.run_once(node_id)
            except StoreUnavailable as error:
                self._check_owned = True
                log.warning("takeover_postponed", node=str(node_id), error=str(error))
            except NodeFenced:
                self._on_fenced(node_id)

    async def listen(self) -> None:
        """Turns the store's notifications into wake-ups, until cancelled."""
        while True:
            node_id = self._host.node_id
            if node_id is None:
                await asyncio.sleep(self._settings.poll_interval_s)
                continue
            hearing = self._hearing = asyncio.get_running_loop().create_task(self._hear(node_id))
            try:
                await asyncio.wait([hearing])
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
            if not hearing.cancelled():
                hearing.result()

    async def _hear(self, node_id: UUID) -> None:
        async with aclosing(self._store.listen(node_id)) as heard:
            async for _ in heard:
                self._wake.set()

    async def run_once(self, node_id: UUID) -> None:
        """Fences dead nodes, claims what is free, resumes it, and hands over waiting requests."""
        now_s = self._monotonic_s()
        if self._check_owned or now_s - self._owned_checked_s >= OWNED_INTERVAL_S:
            self._check_owned, self._owned_checked_s = False, now_s
            await self._adopt(node_id, list(await self._store.owned(node_id)))
        seen = await self._store.look(node_id, self._definition_ids)
        self._host.give_requests(list(seen.requests))
        fenced = await self._store.fence_expired(node_id) if seen.has_died else ()
        if fenced:
            self._observer.nodes_fenced(len(fenced))
        if fenced or seen.is_claimable:
            await self._claim(node_id, list(fenced))
        await self._tidy()

    async def _claim(self, node_id: UUID, nodes: list[UUID]) -> None:
        await self._claim_all(node_id, nodes)
        if self._host.room > 0 and self._probation_is_over():
            # One that may be killing its nodes is claimed alone: if the node dies, only that one has died with it.
            suspects = await self._claim_some(node_id, nodes, 1, suspects=True)
            await self._adopt(node_id, suspects)
            if suspects:
                self._probation = (suspects[0], self._monotonic_s() + self._settings.probation_s)
                log.warning("suspect_claimed", saga_id=str(suspects[0]), node=str(node_id))
                self._wake.set()

    async def _claim_all(self, node_id: UUID, nodes: list[UUID]) -> None:
        """Until nothing is left or the memory is full. One batch is claimed while the one before it is loaded."""
        adopting: asyncio.Task[None] | None = None
        claimed: list[UUID] = []
        try:
            while (room := self._host.room - len(claimed)) > 0:
                claimed = await self._claim_some(node_id, nodes, min(self._settings.claim_batch_size, room))
                if adopting is not None:
                    await adopting
                if not claimed:
                    return
                adopting = asyncio.get_running_loop().create_task(self._adopt(node_id, claimed))
            if adopting is not None:
                await adopting
        finally:
            if adopting is not None and not adopting.done():
                adopting.cancel()
                await asyncio.gather(adopting, return_exceptions=True)
            elif adopting is not None and not adopting.cancelled():
                adopting.exception()  # if both failed, one is told of, and the other is no surprise

    async def _claim_some(self, node_id: UUID, nodes: list[UUID], limit: int, *, suspects: bool = False) -> list[UUID]:
        claimed = await self._store.claim(
            node_id,
            self._definition_ids,
            from_nodes=nodes,
            limit=limit,
            suspects=suspects,
            released_attributes=encode((), SagaClaimed(str(node_id), crashed=False))[1],
            crashed_attributes=encode((), SagaClaimed(str(node_id), crashed=True))[1],
        )
        if claimed:
            log.info("sagas_claimed", node=str(node_id), sagas=len(claimed))
            self._observer.claimed(len(claimed))
        return list(claimed)

    async def _adopt(self, node_id: UUID, saga_ids: list[UUID]) -> None:
        unknown = [saga_id for saga_id in saga_ids if not self._host.has_run(saga_id)]
        size = min(self._settings.claim_batch_size, MAX_LOADED)
        for start in range(0, len(unknown), size):
            found = await self._store.load(unknown[start : start + size])
            # One that was claimed for a request would be parked again before it heard of it.
            requests = await self._store.pending_requests(node_id)
            for stored in found:
                if stored.owner == self._host.node_id and not self._host.has_run(stored.saga_id):
                    self._host.adopt(stored)
            self._host.give_requests(list(requests))

    def _probation_is_over(self) -> bool:
        if self._probation is None:
            return True
        saga_id, until_s = self._probation
        if self._host.has_moved(saga_id) or self._monotonic_s() >= until_s:
            self._probation = None
            return True
        return False

    async def _tidy(self) -> None:
        now_s = self._monotonic_s()
        if now_s - self._tidied_s < TIDY_INTERVAL_S:
            return
        self._tidied_s = now_s
        await self._store.forget_requests()
        for missing in await self._store.missing_definitions():
            log.warning(
                "definition_missing",
                definition=missing.definition,
                version=missing.version,
                digest=missing.digest.hex(),
                sagas=missing.sagas,
                what="these sagas are blocked until a node has this definition loaded",
            )
