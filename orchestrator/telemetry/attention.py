"""Counts, every so often, the sagas of the whole store that want an operator."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from orchestrator.engine.ports import StoreUnavailable
from orchestrator.telemetry.gauges import Attention

log = structlog.get_logger(__name__)


class AttentionCount:
    """A background service. What it last read is known for three intervals, then no more."""

    def __init__(
        self,
        count: Callable[[], Awaitable[tuple[Attention, ...]]],
        monotonic_s: Callable[[], float],
        *,
        interval_s: float,
    ) -> None:
        """``count`` may raise ``StoreUnavailable``."""
        self._count: Final = count
        self._monotonic_s: Final = monotonic_s
        self._interval_s: Final = interval_s
        self._known: tuple[Attention, ...] | None = None
        self._known_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def known(self) -> tuple[Attention, ...] | None:
        """What was last read; None if that is too long ago, for an old number would hide that nobody counts."""
        if self._monotonic_s() - self._known_s > 3 * self._interval_s:
            self._known = None
        return self._known

    def start(self) -> None:
        """Begins to count. May be called twice."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ends. May be called twice, and without a start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def run_once(self) -> None:
        """Counts. Raises ``StoreUnavailable``."""
        self._known, self._known_s = await self._count(), self._monotonic_s()

    async def _run(self) -> None:
        while True:
            try:
                await self.run_once()
            except StoreUnavailable as error:
                log.warning("attention_not_counted", error=str(error))
            except Exception:
                log.exception("attention_defect")
            await asyncio.sleep(self._interval_s)
