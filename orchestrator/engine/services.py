"""The engine's background tasks: services that run as long as the node does, and work that ends by itself."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Final, TypeAlias

import structlog

log = structlog.get_logger(__name__)

Work: TypeAlias = Coroutine[None, None, None]

PAUSE_S: Final = 0.2
STOP_TIMEOUT_S: Final = 10.0


class Services:
    """Of one engine. ``stop`` may be called twice."""

    def __init__(self) -> None:
        self._services: list[asyncio.Task[None]] = []
        self._side_tasks: set[asyncio.Task[None]] = set()

    @property
    def are_running(self) -> bool:
        """Whether they were started."""
        return bool(self._services)

    def start(self, services: Iterable[Callable[[], Work]]) -> None:
        """Runs each until :meth:`stop`, whatever it raises."""
        loop = asyncio.get_running_loop()
        self._services = [loop.create_task(_keep_running(service)) for service in services]
        for service in self._services:
            service.add_done_callback(_report_death)

    def spawn(self, work: Work) -> None:
        """Runs something that ends by itself."""
        task = asyncio.get_running_loop().create_task(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)
        task.add_done_callback(_report_death)

    async def stop(self) -> None:
        """Cancels all of it. Cancelled work ends at once, and a shutdown does not wait for a defect in it."""
        work = (*self._services, *self._side_tasks)
        for task in work:
            task.cancel()
        if not work:
            return
        _, late = await asyncio.wait(work, timeout=STOP_TIMEOUT_S)
        for task in late:
            log.error("service_did_not_end", service=repr(task.get_coro()))


async def _keep_running(service: Callable[[], Work]) -> None:
    """What nobody thought of ends one turn of a service, not the service: a node that holds its lease and does nothing
    would keep its sagas from everybody.
    """
    while True:
        try:
            await service()
        except Exception:
            log.exception("service_failed", service=getattr(service, "__qualname__", repr(service)))
        await asyncio.sleep(PAUSE_S)


def _report_death(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical("service_died", error=repr(task.exception()))
