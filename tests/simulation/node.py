"""One node: the shipped engine, and the hands that crash, freeze, drain and restart its process."""

import asyncio
import random
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, Final

from orchestrator.core.backoff import CorePolicy
from orchestrator.definitions.registry import Registry
from orchestrator.engine.breakers import BreakerPolicy
from orchestrator.engine.engine import Engine, Sources
from orchestrator.engine.lanes import LanePolicy
from orchestrator.engine.ports import StoreUnavailable
from orchestrator.engine.settings import EngineSettings
from tests.simulation.loop import HOST, Host
from tests.simulation.network import Cuts, FaultyLink, Net
from tests.simulation.store import SimulatedStore
from tests.simulation.wire import Wire

LEASE_TTL_S: Final = 5.0
BLOCKED_RETRY_S: Final = 3.0
LANES: Final = LanePolicy(max_calls=8, breaker=BreakerPolicy(min_calls=8))
"""So narrow, and so quick to judge, that calls queue and breakers open in runs of some hundred sagas."""


class SimulatedNode:
    """A name under which one process after the other runs. ``drift`` is how much faster its clock goes."""

    def __init__(self, net: Net, name: str, registry: Registry, *, drift: float = 0.0) -> None:
        self.name = name
        self.cuts = Cuts()
        self.registry = registry
        self.clock_offset_s = 0.0
        self.host = Host(f"{name}.0")
        self.engine: Engine | None = None
        self._net = net
        self._loop = net.loop
        self._rate = 1 + drift
        self._context = Context()
        self._boots = 0

    @property
    def is_up(self) -> bool:
        """Whether a process runs, frozen or not."""
        return self.engine is not None

    def boot(self, registry: Registry | None = None) -> None:
        """Starts a process, with other definitions if they are named."""
        assert self.engine is None
        self.registry = registry or self.registry
        self._boots += 1
        self.host = Host(f"{self.name}.{self._boots}")
        self._context = self._net.outside.copy()
        self._context.run(HOST.set, self.host)
        self.cuts = Cuts()
        seeded = random.Random(f"{self._net.mishaps.seed}/{self.host.name}")
        engine = self.engine = Engine(
            SimulatedStore(self._net.database, FaultyLink(self._net, self.host.name, self.cuts)),
            Wire(self._net, self.host.name, self.cuts),
            self.registry,
            EngineSettings(node_name=self.name, lease_ttl_s=LEASE_TTL_S, lanes=LANES, core=CorePolicy(BLOCKED_RETRY_S)),
            sources=Sources(self._monotonic_s, seeded.randbytes, seeded.uniform),
            on_health=lambda _healthy: None,
        )
        self._net.tell(self.host.name, "boots with " + ", ".join(definition.label for definition in self.registry))
        self.spawn(_begin(engine))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Runs something inside the process: it stands still and vanishes with it."""
        return self._net.loop.create_task(work, context=self._context)

    def crash(self) -> None:
        """Kill -9: whatever was sent is on its way, and nothing else happens."""
        self._net.tell(self.host.name, "dies")
        self._net.loop.kill(self.host)
        self.engine = None

    def freeze(self) -> None:
        """The process stands still, and does not know it."""
        self._net.tell(self.host.name, "stands still")
        self._net.loop.freeze(self.host)

    def thaw(self) -> None:
        """It goes on."""
        if self.is_up and self.host.is_frozen:
            self._net.tell(self.host.name, "goes on")
            self._net.loop.thaw(self.host)

    def drain(self) -> "asyncio.Task[None]":
        """A clean shutdown; the process ends with the task."""
        engine, host = self.engine, self.host
        assert engine is not None
        self._net.tell(host.name, "drains")
        stopping = self.spawn(engine.stop())

        def end(_task: "asyncio.Task[None]") -> None:
            if self.host is host and self.is_up:
                self.crash()

        stopping.add_done_callback(end, context=self._net.outside)
        return stopping

    def _monotonic_s(self) -> float:
        return 1000.0 + self._loop.now_s * self._rate + self.clock_offset_s


async def _begin(engine: Engine) -> None:
    while True:
        try:
            await engine.begin()
        except StoreUnavailable:
            await asyncio.sleep(0.3)
        else:
            return
