"""Heeds what operators ask of nodes: participants to hold, a drain, bulk actions to work off."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol
from uuid import UUID

import structlog

from orchestrator.engine.ports import StoreUnavailable
from orchestrator.operations.bulk_work import TURN_S, BulkWork
from orchestrator.operations.ports import OperatorStore

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 2.0
"""How often a node looks for orders: one small statement."""


class OrderedNode(Protocol):
    """What is ordered of the engine."""

    @property
    def node_id(self) -> UUID | None: ...
    def hold(self, service: str) -> None: ...
    def release(self, service: str) -> None: ...


class Orders:
    """One background service of a node. ``start`` and ``stop`` may be called twice."""

    def __init__(
        self, store: OperatorStore, node: OrderedNode, bulk: BulkWork, drain: Callable[[], Awaitable[None]]
    ) -> None:
        self._store: Final = store
        self._node: Final = node
        self._bulk: Final = bulk
        self._drain: Final = drain
        self._held: frozenset[str] = frozenset()
        self._drains = False
        self._wake: Final = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.has_stopped = False
        """The node shuts down: who follows something here turns to another node."""

    def start(self) -> None:
        """Begins to look."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ends at once; what was begun is gone on with by another node."""
        self.has_stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Something was ordered just now."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            interval_s = INTERVAL_S
            try:
                interval_s = await self.run_once()
            except StoreUnavailable as error:
                log.warning("orders_postponed", error=str(error))
            except Exception:
                log.exception("orders_failed")
            try:
                async with asyncio.timeout(interval_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def run_once(self) -> float:
        """Looks once and does what is due; returns in how many seconds to look again."""
        node_id = self._node.node_id
        if node_id is None:
            return INTERVAL_S
        held, drains, has_bulk = await self._store.orders(node_id)
        for service in held - self._held:
            log.warning("participant_held", service=service)
            self._node.hold(service)
        for service in self._held - held:
            log.info("participant_released", service=service)
            self._node.release(service)
        self._held = held
        if drains and not self._drains:
            self._drains = True
            log.warning("node_drains", node=str(node_id))
            await self._drain()
            return INTERVAL_S
        if has_bulk:
            await self._bulk.run_once()
            return TURN_S
        return INTERVAL_S
