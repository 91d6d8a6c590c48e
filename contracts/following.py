"""Files of TLS that others renew while we run: the last good content, and one task that looks for newer."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol

import structlog

from contracts.pem import Clock, PemFile, TlsFileError, utc_now

_log = structlog.get_logger(__name__)

Contents = tuple[bytes | None, ...]
Stamps = tuple[tuple[int, ...], ...]
"""When each file was written, its size, and which it is."""
_SETTLES_NS: Final = 2_000_000_000


class Files(Protocol):
    """Some files that only count together."""

    def files(self) -> tuple[PemFile | None, ...]:
        """In an order of its own; None where there is none."""

    def check(self, contents: Contents, now: datetime) -> datetime | None:
        """Returns until when they count, if that is known. Raises :class:`TlsFileError` if they do not."""


class Followed:
    """The last good contents of some files: while they are renewed they may be half written, or not go together."""

    def __init__(self, files: Files, now: Clock = utc_now) -> None:
        """Raises :class:`TlsFileError` unless the files are good now: there is no older content to fall back on."""
        self._files: Final = files
        self._now: Final = now
        self._lock: Final = threading.Lock()  # gRPC asks from threads of its own
        self._trouble: str | None = None
        self._settled: Stamps | None = None
        self._contents = self._read()
        self._expires_at = files.check(self._contents, now())

    @property
    def contents(self) -> Contents:
        """In the order of ``files()``."""
        return self._contents

    @property
    def expires_at(self) -> datetime | None:
        """When what is in use lapses, if that is known."""
        return self._expires_at

    def look(self) -> bool:
        """Reads the files again; true if they hold something else, which is good. Never raises.

        What is wrong with them is logged once, and once more when all is well again.
        """
        with self._lock:
            try:
                contents = self._newest()
                is_new = contents != self._contents
                expires_at = self._files.check(contents, self._now()) if is_new else self._expires_at
            except TlsFileError as error:
                self._complain(str(error))
                return False
            if expires_at is not None and expires_at <= self._now():
                self._complain(f"{self._names()}: the certificate lapsed at {expires_at:%FT%TZ}: renew it")
                return False
            if self._trouble is not None:
                self._trouble = None
                _log.info("tls_files_good_again", settings=self._names())
            if is_new:
                self._contents, self._expires_at = contents, expires_at
                end = None if expires_at is None else f"{expires_at:%FT%TZ}"
                _log.info("tls_files_renewed", settings=self._names(), expires_at=end)
            return is_new

    def _newest(self) -> Contents:
        """What the files hold, without reading them where nothing can have changed: a handshake costs little then."""
        stamps = self._stamps()
        if stamps is not None and stamps == self._settled:
            return self._contents
        contents = self._read()
        # A file that changed a moment ago may change again without any of its stamps telling.
        is_old = stamps is not None and max((each[0] for each in stamps), default=0) < time.time_ns() - _SETTLES_NS
        self._settled = stamps if is_old and contents == self._contents else None
        return contents

    def _stamps(self) -> Stamps | None:
        try:
            found = [os.stat(file.path) for file in self._files.files() if file is not None]
        except OSError:
            return None
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino, each.st_dev) for each in found)

    def _read(self) -> Contents:
        return tuple(None if file is None else file.read() for file in self._files.files())

    def _complain(self, text: str) -> None:
        if self._trouble is None:
            _log.error("tls_files_unusable", problem=text, what="the last good ones stay in use")
        self._trouble = text

    def _names(self) -> str:
        return ", ".join(file.setting for file in self._files.files() if file is not None)


class Follower:
    """Looks at followed files every ``interval_s`` seconds. ``start`` and ``stop`` may each be called twice."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s: Final = interval_s
        self._followed: Final[list[tuple[Followed, Callable[[], Awaitable[None]]]]] = []
        self._task: asyncio.Task[None] | None = None

    def follow(self, followed: Followed, renewed: Callable[[], Awaitable[None]]) -> None:
        """Awaits ``renewed`` whenever the files hold something new."""
        self._followed.append((followed, renewed))

    async def run_once(self) -> None:
        """One look at everything. What one of those who are told raises is logged, and the others are told."""
        for followed, renewed in self._followed:
            if not await asyncio.to_thread(followed.look):
                continue
            try:
                await renewed()
            except Exception:
                _log.exception("tls_renewal_failed")

    def start(self) -> None:
        """Does nothing where nothing is followed."""
        if self._task is None and self._followed:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.run_once()
