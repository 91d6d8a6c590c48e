"""Programs as children that end with this process and log to a file; those in Python say when they are ready."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from orchestrator.local.postgres import LAUNCHER

ROOT: Final = Path(__file__).parents[1]
PYTHONPATH: Final = os.pathsep.join((str(ROOT), str(ROOT / "generated")))
"""What every child imports from; packages come from the child's own environment."""
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.05
MAX_LINE_BYTES: Final = 1 << 20
MAX_TOLD_CHARS: Final = 1500
TO_LOG: Final = ("/bin/sh", "-c", 'exec "$@" 1>&2', "sh")
"""Before the command of a program whose standard output is a log too."""


class ProgramError(Exception):
    """A program ended, or was not ready in time; the message names its log."""


class Program:
    """One child. An asynchronous context manager: entering starts it, leaving ends it. Use it from the main thread."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        end_at_once: bool = False,
    ) -> None:
        """``end_at_once`` spares a program the orderly end that nobody needs: what it stored is thrown away."""
        self.name = name
        self._end_at_once = end_at_once
        self._command = command
        self._log = log
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The running child. Its standard output is a pipe that :meth:`said` reads."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    async def __aenter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        launch = [sys.executable, "-IS", LAUNCHER, str(os.getpid()), str(int(signal.SIGKILL)), ""]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *launch,
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": PYTHONPATH, **self._environment},
                # A terminal's Ctrl-C is for this process, which then ends its children in order.
                start_new_session=True,
                limit=MAX_LINE_BYTES,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL if self._end_at_once else signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.process.communicate()
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            await self.process.communicate()

    async def said(self, timeout_s: float = START_TIMEOUT_S) -> dict[str, Any]:
        """The next line of JSON on its standard output. Raises ``ProgramError``."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                while line := await self.process.stdout.readline():
                    with suppress(json.JSONDecodeError):
                        found = json.loads(line)
                        if isinstance(found, dict):
                            return found
        except TimeoutError:
            raise ProgramError(f"{self.name} said nothing for {timeout_s:g} s; see {self._log}") from None
        raise ProgramError(f"{self.name} ended without a word; the end of {self._log}: {_end(self._log)}")

    async def listens(self, port: int, timeout_s: float = START_TIMEOUT_S) -> None:
        """Waits until it takes connections on loopback. Raises ``ProgramError``."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if self.process.returncode is not None or time.monotonic() > until:
                    raise ProgramError(f"{self.name} does not listen on port {port}; see {self._log}") from None
                await asyncio.sleep(POLL_S)
            else:
                writer.close()
                return


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-MAX_TOLD_CHARS:] if log.exists() else "nothing"


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now, each another one."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
