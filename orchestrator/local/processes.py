"""Child processes that end with this one, log to a file and say on their first line of output where they serve."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from orchestrator.local.postgres import LAUNCHER

KILL_WAIT_S: Final = 10.0
MAX_LINE_BYTES: Final = 64 * 1024


class ChildError(Exception):
    """A child ended, or said nothing of use, before it served; the message names its log."""


class Child:
    """One Python module running as a process of its own. Start it from the main thread: it ends with that thread."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.announcement: dict[str, Any] = {}
        """The JSON of its first line of output."""
        self._arguments = arguments
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id. Raises ``RuntimeError`` if it was never started."""
        return self._started().pid

    def is_running(self) -> bool:
        """True from start until its end is known."""
        return self._process is not None and self._process.returncode is None

    async def start(self, timeout_s: float) -> Self:
        """Returns once it has announced itself. Raises ``ChildError``."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        launch = [sys.executable, "-IS", LAUNCHER, str(os.getpid()), str(int(signal.SIGKILL)), ""]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *launch,
                sys.executable,
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **self._environment},
                # A terminal's Ctrl-C is for this process, which then ends its children in order.
                start_new_session=True,
                limit=MAX_LINE_BYTES,
            )
        try:
            async with asyncio.timeout(timeout_s):
                await self._read_announcement(self._process)
        except BaseException as error:
            await self.kill()
            if isinstance(error, TimeoutError | ValueError):
                raise ChildError(f"{self.name} did not serve within {timeout_s:g} s; see {self.log}") from error
            raise
        return self

    async def until(self, ready: Coroutine[Any, Any, None]) -> None:
        """Waits for ``ready``. Raises ``ChildError`` if the process ends before, and what ``ready`` raises."""
        waiting, ended = asyncio.ensure_future(ready), asyncio.ensure_future(self._started().wait())
        try:
            await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ChildError(f"{self.name} ended with exit code {ended.result()} before it served; see {self.log}")
            waiting.result()
        finally:
            waiting.cancel()
            ended.cancel()
            await asyncio.gather(waiting, ended, return_exceptions=True)

    async def wait(self, timeout_s: float) -> int:
        """Exit code. Raises ``TimeoutError``."""
        async with asyncio.timeout(timeout_s):
            code = await self._started().wait()
        if self._output is not None:
            await self._output
        return code

    async def stop(self, timeout_s: float) -> None:
        """Asks it to end (SIGTERM), and kills it if it has not after ``timeout_s``. May be called twice."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            await self.wait(timeout_s)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Ends it at once (SIGKILL). May be called twice."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            await self.wait(KILL_WAIT_S)

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def _read_announcement(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            with suppress(json.JSONDecodeError):
                said = json.loads(line)
                if isinstance(said, dict):
                    self.announcement = said
                    self._output = asyncio.create_task(self._copy_output(process.stdout))
                    return
        code = await process.wait()
        raise ChildError(f"{self.name} ended with exit code {code} before it served; see {self.log}")

    async def _copy_output(self, output: asyncio.StreamReader) -> None:
        """Keeps the pipe from filling."""
        with self.log.open("ab") as log:
            while chunk := await output.read(MAX_LINE_BYTES):
                log.write(chunk)
