"""The composition root: one node, put together from its parts and taken down in order."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from contracts.following import Follower
from orchestrator.console.addresses import own_address
from orchestrator.definitions.registry import Registry, load_modules
from orchestrator.engine.engine import Engine, Sources
from orchestrator.engine.ports import Participants, Store, StoreUnavailable
from orchestrator.failpoints import FailingParticipants, failing_store
from orchestrator.operations.operators import Operators
from orchestrator.rpc.participants import ParticipantChannels
from orchestrator.rpc.server import RpcServer
from orchestrator.settings import Settings
from orchestrator.storage.store import PostgresStore
from orchestrator.telemetry.node_metrics import NodeMetrics
from orchestrator.telemetry.node_traces import NodeTraces
from orchestrator.telemetry.observers import together

log = structlog.get_logger(__name__)

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 3.0


def _called_services(registry: Registry) -> set[str]:
    return {
        method.service
        for definition in registry
        for step in definition.steps
        for method in (step.method, step.compensation)
        if method is not None
    }


class Node:
    """One orchestrator process. ``stop`` may be called twice, and after a ``start`` that failed."""

    def __init__(
        self,
        settings: Settings,
        database_url: str,
        *,
        shares_port: bool = False,
        wrap_store: Callable[[Store], Store] = lambda store: store,
    ) -> None:
        """Needs a running event loop. Raises ``DefinitionErrors`` with everything that is wrong with the definitions.

        ``shares_port``: other processes listen on the port as well. ``wrap_store`` lets tests stand between the engine
        and the store.
        """
        self._shares_port = shares_port
        self._registry: Registry = load_modules(settings.definitions)
        self._store = PostgresStore(settings.storage(database_url))
        store = wrap_store(self._store)
        self._tls_follower = Follower(settings.tls_check_interval_s)
        self._channels = ParticipantChannels(settings.targets(), settings.channels(), self._tls_follower)
        participants: Participants = self._channels
        failpoints = settings.armed()
        if failpoints is not None:
            log.warning("failpoints_armed")
            store, participants = failing_store(store, failpoints), FailingParticipants(participants, failpoints)
        metrics = settings.metrics_settings()
        self._metrics = NodeMetrics(metrics, settings.node_name, self._tls_follower) if metrics.wanted else None
        self._traces = NodeTraces.of(settings, settings.node_name, settings.targets(), self._tls_follower)
        told = [each for each in (self._traces, self._metrics) if each is not None]
        self._engine = Engine(
            store,
            participants,
            self._registry,
            settings.engine(),
            sources=Sources(time.monotonic),
            on_health=self._health_changed,
            observer=together([each.observer for each in told]),
        )
        self._operators = Operators(
            self._engine,
            self._store,
            self._registry,
            settings.operators(),
            drain=self._engine.stop,
            addresses=frozenset(settings.participants),
            new_id=self._engine.new_id,
        )
        self._server = RpcServer(
            replace(settings.rpc(), reuse_port=shares_port),
            self._engine,
            store,
            self._registry,
            operators=self._operators,
            access=settings.access(),
            interceptors=[each.interceptor for each in told],
        )
        if self._metrics is not None:
            self._metrics.attach(
                self._engine,
                self._store,
                self._operators.policy,
                self._store.pool_use,
                certificate_lapses_at=lambda: self._server.certificate_lapses_at,
                spans=lambda: None if self._traces is None else self._traces.counts,
            )
        self._unreachable = sorted(_called_services(self._registry) - set(settings.participants))
        self._console = settings.console(self._tls_follower)
        self._listen_address = settings.listen_address
        self._health_task: asyncio.Task[None] | None = None
        self._is_healthy = False
        self.port = 0
        self.console_url = ""

    @property
    def token_port(self) -> int:
        """The bound port for callers without a certificate; 0 if there is none."""
        return self._server.token_port

    @property
    def metrics_url(self) -> str:
        """Where Prometheus scrapes; empty if nowhere."""
        return "" if self._metrics is None else self._metrics.url

    @property
    def engine(self) -> Engine:
        """For tests and tools that run in the same process."""
        return self._engine

    async def start(self) -> int:
        """Binds the port first, so that health answers, then joins the cluster; returns the bound port.

        A shared port is bound last: until then its callers reach the other processes. Waits for a database that is
        away. Raises ``SchemaUnknown`` and ``DefinitionChanged``.
        """
        if not self._shares_port:
            self.port = await self._server.start()
        if self._console is not None:  # now, so that it tells of a database that is away
            self.console_url = await self._console.start(own_address(self._listen_address, self.port))
            log.info("console", url=self.console_url)
        if self._metrics is not None:
            await self._metrics.start()
        self._tls_follower.start()
        await self._join()
        self._operators.orders.start()
        if self._shares_port:
            self.port = await self._server.start()
            self._health_changed(self._is_healthy)  # it was told while nobody could hear it
        return self.port

    async def _join(self) -> None:
        delay_s = FIRST_RETRY_S
        while True:
            try:
                await self._store.open()
                await self._engine.begin()
                break
            except StoreUnavailable as error:
                log.warning("store_unavailable", error=str(error), retry_in_s=delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, LAST_RETRY_S)
        for service in self._unreachable:
            log.warning("participant_without_address", service=service, what="its steps are blocked until it has one")

    async def stop(self) -> None:
        """Hands the sagas over, then lets the calls in flight end, then closes what is open."""
        if self._console is not None:
            await self._console.stop()
        await self._operators.orders.stop()
        await self._engine.stop()
        await self._server.stop()
        if self._metrics is not None:
            await self._metrics.stop()
        await self._tls_follower.stop()
        await self._channels.close()
        await self._store.close()
        if self._traces is not None:
            await self._traces.stop()

    def _health_changed(self, healthy: bool) -> None:
        previous = self._health_task
        self._is_healthy = healthy

        async def tell() -> None:
            if previous is not None:
                await asyncio.wait([previous])
            await self._server.set_serving(healthy)

        self._health_task = asyncio.get_running_loop().create_task(tell())
