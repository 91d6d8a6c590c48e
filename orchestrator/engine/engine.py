"""The engine of one node: its identity, its background services, and the door for the RPC services."""

import asyncio
import os
import random
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from google.protobuf.message import Message

from orchestrator.core.events import Failure
from orchestrator.definitions.model import Definition
from orchestrator.definitions.registry import Registry
from orchestrator.engine.admission import Admission
from orchestrator.engine.adoption import Adoption
from orchestrator.engine.api import Draining, OverCapacity, SagaView, Standing
from orchestrator.engine.cancelling import cancel, decided
from orchestrator.engine.clock import DatabaseClock
from orchestrator.engine.dispatch import Dispatcher, Gates
from orchestrator.engine.figures import Figures
from orchestrator.engine.follow import Follower
from orchestrator.engine.ids import uuid7
from orchestrator.engine.lanes import ParticipantStatus
from orchestrator.engine.lease import LeaseKeeper
from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import Participants, Started, Store, StoreUnavailable
from orchestrator.engine.pulse import Pulse
from orchestrator.engine.run import SagaRun
from orchestrator.engine.services import Services
from orchestrator.engine.settings import EngineSettings
from orchestrator.engine.starts import Starter, StartGates
from orchestrator.engine.stored import SagaRequest, StoredSaga
from orchestrator.engine.takeover import Takeover
from orchestrator.engine.tracing import TraceContext
from orchestrator.engine.watches import Watches
from orchestrator.engine.writer import GroupWriter

log = structlog.get_logger(__name__)

FIRST_RETRY_S: Final = 0.2
LAST_RETRY_S: Final = 2.0
LINGER_S: Final = 0.01
"""While the node lags behind, a batch fills for so long: calls come to it one by one then, and a commit for each saga
would cost as much as the sagas."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Clock and randomness, injected."""

    monotonic_s: Callable[[], float]
    random_bytes: Callable[[int], bytes] = os.urandom
    uniform: Callable[[float, float], float] = random.uniform
    """Spreads retries and polls."""


class Engine:
    """Implements :class:`orchestrator.engine.api.SagaEngine`. ``start`` and ``stop`` may each be called twice."""

    def __init__(
        self,
        store: Store,
        participants: Participants,
        registry: Registry,
        settings: EngineSettings,
        *,
        sources: Sources,
        on_health: Callable[[bool], None],
        observer: Observer | None = None,
    ) -> None:
        observer = observer or Observer()
        self._observer = observer
        self._services = Services()
        self._store = store
        self._registry = registry
        self._settings = settings
        self._sources = sources
        self._on_health = on_health
        self._healthy = False
        self._clock = DatabaseClock(sources.monotonic_s)
        self._admission = Admission(settings.admission, sources.monotonic_s, sources.uniform)
        self._watches = Watches(store, settings.watch_interval_s, self.has_run)
        self._dispatcher = Dispatcher(
            participants,
            self._clock,
            self._watches,
            Gates(lambda: self._lease.is_held, self._mark_dirty, self._progressed, self._orphaned, self._left),
            park_after_s=settings.park_after_s,
            crowded=settings.admission.max_sagas // 2,
            lanes=settings.lanes,
            blocked_retry_s=settings.core.blocked_retry_s,
            uniform=sources.uniform,
            observer=observer,
        )
        self._writer = GroupWriter(
            store,
            max_items=settings.max_batch_items,
            max_bytes=settings.max_batch_bytes,
            written=self._dispatcher.written,
            refused=self._dispatcher.refused,
            fenced=self._fenced,
            uniform=sources.uniform,
            monotonic_s=sources.monotonic_s,
            observer=observer,
            linger_s=lambda: LINGER_S if self._admission.lags else 0.0,
        )
        self._lease = LeaseKeeper(
            store,
            self._clock,
            ttl_s=settings.lease_ttl_s,
            interval_s=settings.renew_interval_s,
            on_change=self._lease_changed,
            on_fenced=self._fenced,
            observer=observer,
        )
        self._starter = Starter(
            store,
            self._dispatcher,
            settings.core,
            self.new_id,
            gates=StartGates(self._check_serving, self._admit, self._admission.started),
            monotonic_s=sources.monotonic_s,
            timeout_s=settings.start_timeout_s,
        )
        self._pulse = Pulse(
            sources.monotonic_s,
            self._starter.waiting_since_s,
            self._admission.sample,
            self._admission.forget_samples,
        )
        self._adoption = Adoption(
            store,
            registry,
            self._dispatcher,
            self._clock,
            settings.core,
            spawn=self._services.spawn,
            fenced=self._fenced,
            orphaned=self._orphaned,
            observer=observer,
        )
        self._follower = Follower(store, registry, self._watches, self._dispatcher.runs.get)
        self._takeover: Takeover | None = None
        self._rejoining = False

    # ---- life ----

    @property
    def node_id(self) -> UUID | None:
        """This incarnation; None while the node holds no lease and seeks a new one."""
        return self._lease.node_id

    @property
    def room(self) -> int:
        """How many more sagas may be taken over."""
        return 0 if self._dispatcher.draining else self._admission.room_for_claims(len(self._dispatcher.runs))

    async def begin(self) -> None:
        """Registers definitions and node, and starts the services.

        Raises ``SchemaUnknown``, ``DefinitionChanged`` and ``StoreUnavailable``.
        """
        if self._services.are_running:
            return
        await self._store.check_schema()
        known = [(definition.name, definition.version, definition.digest) for definition in self._registry]
        self._starter.definition_ids = dict(await self._store.register_definitions(known))
        self._takeover = Takeover(
            self._store,
            self._settings,
            self,
            definition_ids=list(self._starter.definition_ids.values()),
            on_fenced=self._fenced,
            monotonic_s=self._sources.monotonic_s,
            uniform=self._sources.uniform,
            observer=self._observer,
        )
        await self._join()
        self._services.start(
            (
                self._writer.run,
                self._lease.run,
                self._takeover.run,
                self._takeover.listen,
                self._watches.run,
            )
        )

    async def stop(self) -> None:
        """Clean shutdown: takes nothing new, lets attempts end, writes what is to be written, hands the sagas over."""
        if not self._services.are_running or self._dispatcher.draining:
            return
        self._dispatcher.draining = True
        self._set_health(healthy=False)
        under_way = self._dispatcher.attempts_under_way()
        if under_way:
            await asyncio.wait(under_way, timeout=self._settings.drain_grace_s)
        await self._writer.flush(self._settings.drain_grace_s)
        self._dispatcher.drop_all()
        self._watches.interrupt()
        await self._services.stop()
        node_id = self.node_id
        self._lease.lose()
        if node_id is not None:
            try:
                released = await self._store.release_node(node_id)
                log.info("node_released", node=str(node_id), sagas=released)
            except StoreUnavailable as error:
                log.warning("node_not_released", node=str(node_id), error=str(error))

    async def _join(self) -> None:
        node_id = self.new_id()
        self._starter.incarnation = await self._store.incarnation()
        await self._lease.register(node_id, self._settings.node_name, list(self._starter.definition_ids.values()))
        self._writer.node_id = node_id
        log.info("node_joined", node=str(node_id), name=self._settings.node_name)
        self._set_health(healthy=not self._dispatcher.draining)
        if self._takeover is not None:
            self._takeover.joined()

    def _fenced(self, node_id: UUID) -> None:
        """Another node took everything over. This one forgets what it knew and joins again as a new incarnation."""
        if node_id != self.node_id or self._rejoining or self._dispatcher.draining:
            return
        self._rejoining = True
        self._observer.fenced()
        self._lease.lose()
        self._writer.clear()
        self._dispatcher.drop_all()
        self._services.spawn(self._rejoin())

    async def _rejoin(self) -> None:
        delay_s = FIRST_RETRY_S
        try:
            while not self._dispatcher.draining:
                try:
                    await self._join()
                    return
                except Exception as error:
                    log.warning("rejoin_postponed", error=f"{type(error).__name__}: {error}")
                    await asyncio.sleep(delay_s)
                    delay_s = min(delay_s * 2, LAST_RETRY_S)
        finally:
            self._rejoining = False

    # ---- the door ----

    def turn_away(self, caller: str) -> float | None:
        """See :meth:`orchestrator.engine.api.SagaEngine.turn_away`."""
        self._pulse.touch()
        if not self._is_serving or not self._writer.store_answers:
            return None  # start() says what is the matter
        in_memory = len(self._dispatcher.runs)
        if self._admission.shed(in_memory, caller):
            self._observer.start_refused("delay")
        elif self._admission.is_full(in_memory, caller):
            self._observer.start_refused("full")
        else:
            return None
        return self._admission.appointment_s()

    def watch_delay(self, delay_s: Callable[[], float]) -> None:
        """See :meth:`orchestrator.engine.api.SagaEngine.watch_delay`."""
        self._pulse.watch(delay_s)

    def knows(self, caller: str, request_id: str) -> bool:
        """See :meth:`orchestrator.engine.api.SagaEngine.knows`."""
        return self._starter.knows(caller, request_id)

    async def start(
        self,
        definition: Definition,
        saga_input: Message,
        *,
        caller: str,
        tenant: str = "",
        request_id: str,
        trace: TraceContext | None = None,
    ) -> Started:
        """See :meth:`orchestrator.engine.api.SagaEngine.start`."""
        return await self._starter.start(
            definition, saga_input, caller=caller, tenant=tenant, request_id=request_id, trace=trace
        )

    async def wait(self, saga_id: UUID, timeout_s: float) -> Standing | None:
        """See :meth:`orchestrator.engine.api.SagaEngine.wait`."""
        return await self._follower.wait(saga_id, timeout_s)

    def follow(self, saga_id: UUID, after_seq: int) -> AsyncGenerator[int, None]:
        """See :meth:`orchestrator.engine.api.SagaEngine.follow`."""
        return self._follower.follow(saga_id, after_seq)

    async def view(self, saga_id: UUID) -> SagaView | None:
        """See :meth:`orchestrator.engine.api.SagaEngine.view`."""
        return await self._follower.view(saga_id)

    async def cancel(self, saga_id: UUID, *, caller: str, request_id: str, timeout_s: float) -> Failure | None:
        """See :meth:`orchestrator.engine.api.SagaEngine.cancel`."""
        return await cancel(
            self._store,
            self._watches,
            self._wake_takeover,
            saga_id,
            caller=caller,
            request_id=request_id,
            timeout_s=timeout_s,
        )

    async def decided(self, saga_id: UUID, number: int, timeout_s: float) -> Failure | None:
        """See :meth:`orchestrator.engine.api.SagaEngine.decided`."""
        self._wake_takeover()
        return await decided(self._store, self._watches, saga_id, number, timeout_s)

    # ---- participants ----

    def participants(self) -> tuple[ParticipantStatus, ...]:
        """How each participant fares that this node has called or holds, by name of its service."""
        return self._dispatcher.calls.participants()

    def figures(self) -> Figures:
        """How this node stands."""
        return Figures(
            in_memory=len(self._dispatcher.runs),
            max_in_memory=self._settings.admission.max_sagas,
            to_write=self._writer.dirty,
            store_answers=self._writer.store_answers,
            delay_s=self._admission.delay_s,
            lease_left_s=self._lease.left_s,
            healthy=self._healthy,
            participants=self.participants(),
        )

    def hold(self, service: str) -> None:
        """Has this node issue no more calls of a participant: its steps are blocked until :meth:`release`."""
        self._dispatcher.calls.hold(service)

    def release(self, service: str) -> None:
        """Ends a hold; what waited goes on gradually."""
        self._dispatcher.calls.release(service)

    # ---- what takeover asks ----

    def has_run(self, saga_id: UUID) -> bool:
        """Whether the saga is in this node's memory, or on its way out of it."""
        return saga_id in self._dispatcher.runs or self._writer.is_writing(saga_id)

    def has_moved(self, saga_id: UUID) -> bool:
        """Whether the saga got on since it was claimed, or has left."""
        run = self._dispatcher.runs.get(saga_id)
        return run is None or run.durable_seq > run.resumed_seq

    def give_requests(self, requests: list[SagaRequest]) -> None:
        """Requests from elsewhere, for sagas of this node."""
        self._dispatcher.give_requests(requests)

    def adopt(self, stored: StoredSaga) -> None:
        """Takes a saga that the store holds for this node into memory, and goes on with it."""
        node_id = self.node_id
        if node_id is not None:
            self._adoption.adopt(stored, node_id)

    # ---- gates ----

    @property
    def _is_serving(self) -> bool:
        return self._lease.is_held and not self._dispatcher.draining

    def _check_serving(self) -> None:
        """Raises unless this node may store sagas now."""
        if not self._is_serving:
            raise Draining("this node is shutting down or holds no lease")
        if not self._writer.store_answers:
            raise StoreUnavailable("the store does not answer; nothing was stored")

    def _admit(self, caller: str, services: frozenset[str]) -> None:
        """Raises unless one more saga may be taken into memory."""
        if self._admission.is_full(len(self._dispatcher.runs), caller):
            self._observer.start_refused("full")
        elif self._dispatcher.calls.is_crowded(services):
            self._observer.start_refused("participant")
        else:
            return
        raise OverCapacity(self._admission.appointment_s())

    def _left(self, saga_id: UUID) -> None:
        self._admission.left(saga_id)
        self._starter.left(saga_id)

    def new_id(self) -> UUID:
        """A UUIDv7 by the database's time."""
        now_us = self._clock.now_us()
        if now_us == 0:  # before the first answer of the database: a random id sorts nowhere, and only names the node
            return uuid.UUID(bytes=self._sources.random_bytes(16), version=4)
        return uuid7(now_us, self._sources.random_bytes)

    def _mark_dirty(self, run: SagaRun) -> None:
        self._writer.mark_dirty(run)

    def _progressed(self, saga_id: UUID) -> None:
        if self._takeover is not None:
            self._takeover.note_progress(saga_id)

    def _wake_takeover(self) -> None:
        if self._takeover is not None:
            self._takeover.wake()

    def _orphaned(self) -> None:
        if self._takeover is not None:
            self._takeover.check_owned()

    def _lease_changed(self, renewed: bool) -> None:
        self._set_health(healthy=renewed and not self._dispatcher.draining)
        if renewed:
            self._dispatcher.calls.lease_renewed()

    def _set_health(self, *, healthy: bool) -> None:
        if healthy != self._healthy:
            self._healthy = healthy
            log.info("node_health", node=str(self.node_id), healthy=healthy)
            self._on_health(healthy)
