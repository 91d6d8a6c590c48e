"""Several nodes that share one port, each a process of its own. This process starts them, and starts them again."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from contracts.starting import EXIT_CODE

log = structlog.get_logger(__name__)

FIRST_RESTART_S: Final = 0.5
LAST_RESTART_S: Final = 30.0
"""Bounds of the pause before a worker that ended is started again; it doubles each time."""
SETTLED_S: Final = 60.0
"""A worker that lived for so long begins with the shortest pause again."""
SCHEMA_EXIT_CODE: Final = 3
NOT_HEALED: Final = frozenset({EXIT_CODE, SCHEMA_EXIT_CODE})
"""Exit codes of a program that was told something wrong: starting it again would end the same way."""
MAX_LINE_BYTES: Final = 64 * 1024
KILL_WAIT_S: Final = 10.0


class WrongStartError(Exception):
    """A worker could not start as it was told to, and has said why; ``code`` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a worker ended with exit code {code} before it served")
        self.code = code


@dataclass(frozen=True, slots=True)
class Served:
    """One worker that serves."""

    pid: int
    node_id: str


class Worker:
    """One place among the workers: a process, and after its end the next one."""

    def __init__(self, number: int, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.served = asyncio.Event()
        self.who: Served | None = None
        self._number = number
        self._arguments = arguments
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def keep(self) -> bool:
        """Keeps a process running until :meth:`stop`; returns whether the last one ended cleanly.

        Raises :class:`WrongStartError` unless one has served before.
        """
        delay_s = FIRST_RESTART_S
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            code = await self._run()
            if self._stopping.is_set():
                return code in {0, -signal.SIGTERM}  # by the signal itself, if it did not serve yet
            if code in NOT_HEALED and not self.served.is_set():
                raise WrongStartError(code)
            if loop.time() - started_s >= SETTLED_S:
                delay_s = FIRST_RESTART_S
            log.error("worker_ended", worker=self._number, exit_code=code, restart_in_s=delay_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return False
            delay_s = min(2 * delay_s, LAST_RESTART_S)

    def stop(self) -> None:
        """Asks the process to end, and starts no other one. May be called twice."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> int:
        """One process from its start to its end; returns its exit code."""
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._arguments,
            # It ends once nobody holds the other end: also if this process is killed.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self._environment},
            limit=MAX_LINE_BYTES,
        )
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._heard(process.pid, line)
            return await process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()

    def _heard(self, pid: int, line: bytes) -> None:
        try:
            said: dict[str, Any] = json.loads(line)
            self.who = Served(pid, said["node_id"])
        except (ValueError, KeyError, TypeError):
            return  # not its announcement
        log.info("worker_serves", worker=self._number, pid=pid, node=self.who.node_id)
        self.served.set()


async def supervise(
    workers: Sequence[Worker],
    announce: Callable[[list[Served]], None],
    *,
    stopping: asyncio.Event,
    stop_timeout_s: float,
) -> bool:
    """Runs the workers until ``stopping``, and then until all have ended; returns whether all did so cleanly.

    ``announce`` is called once, when all serve. One that has not ended after ``stop_timeout_s`` is killed.
    Raises :class:`WrongStartError`.
    """
    asked_to_stop = asyncio.create_task(stopping.wait())
    kept: list[asyncio.Task[bool]] = []
    serving = asyncio.create_task(_start(workers, kept))
    try:
        await asyncio.wait({serving, asked_to_stop}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            announce([worker.who for worker in workers if worker.who is not None])
            await asked_to_stop
    finally:
        for task in (serving, asked_to_stop):
            task.cancel()
        await asyncio.gather(serving, asked_to_stop, return_exceptions=True)
        await _end(workers, kept, stop_timeout_s)
    return all(task.exception() is None and task.result() for task in kept)


async def _start(workers: Sequence[Worker], kept: list[asyncio.Task[bool]]) -> None:
    """Returns when all serve. The first one alone to begin with: what is wrong with the settings is said once."""
    for together in (workers[:1], workers[1:]):
        kept.extend(asyncio.create_task(worker.keep()) for worker in together)
        for worker in together:
            served = asyncio.create_task(worker.served.wait())
            try:
                await asyncio.wait({served, *kept}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                served.cancel()
            for task in kept:
                if task.done():
                    task.result()


async def _end(workers: Sequence[Worker], kept: list[asyncio.Task[bool]], timeout_s: float) -> None:
    for worker in workers:
        worker.stop()
    if not kept:
        return
    _, late = await asyncio.wait(kept, timeout=timeout_s)
    if late:
        log.error("workers_killed", workers=len(late), after_s=timeout_s)
        for worker in workers:
            worker.kill()
        await asyncio.wait(kept, timeout=KILL_WAIT_S)
