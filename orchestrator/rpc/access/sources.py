"""Where an issuer's keys come from: a file, or a URL. Bounded in size; whoever reads bounds the time."""

import asyncio
import ssl
from pathlib import Path
from typing import Final, Protocol

import httpx

MAX_JWKS_BYTES: Final = 256 * 1024
_FILE_REFETCH_S: Final = 0.2


class SourceError(Exception):
    """The source did not give keys. The text says why, and holds nothing that the source sent."""


class Source(Protocol):
    """Somewhere keys are published."""

    @property
    def refresh_interval_s(self) -> float:
        """How often to read it."""

    @property
    def refetch_interval_s(self) -> float:
        """How often, at the most, an unknown key has it read at once."""

    async def read(self) -> bytes | None:
        """The key set, or None if it is what it was at the last read. Raises :class:`SourceError`."""


class FileSource:
    """A file that is replaced when keys change."""

    def __init__(self, path: Path, refresh_interval_s: float) -> None:
        self.refresh_interval_s: Final = refresh_interval_s
        self.refetch_interval_s: Final = min(_FILE_REFETCH_S, refresh_interval_s)
        self._path: Final = path
        self._seen: tuple[int, int, int] | None = None

    async def read(self) -> bytes | None:
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes | None:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return None
            with self._path.open("rb") as file:
                raw = file.read(MAX_JWKS_BYTES + 1)
        except OSError as error:
            raise SourceError(f"the file {self._path} cannot be read: {error.strerror}") from error
        if len(raw) > MAX_JWKS_BYTES:
            raise SourceError(f"the file {self._path} has more than {MAX_JWKS_BYTES} bytes")
        self._seen = seen
        return raw


class UrlSource:
    """A URL. It is asked directly: redirects are refused, and no proxy of the environment is used."""

    def __init__(
        self, url: str, ca_file: Path | None, refresh_interval_s: float, refetch_interval_s: float, timeout_s: float
    ) -> None:
        """Raises :class:`SourceError` if the authority's file cannot be read."""
        self.refresh_interval_s: Final = refresh_interval_s
        self.refetch_interval_s: Final = refetch_interval_s
        self._url: Final = url
        self._timeout_s: Final = timeout_s
        try:
            self._tls: Final = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise SourceError(f"ca_file {ca_file} cannot be read as PEM: {error.strerror}") from error

    async def read(self) -> bytes | None:
        try:
            async with (
                httpx.AsyncClient(
                    verify=self._tls, timeout=self._timeout_s, follow_redirects=False, trust_env=False
                ) as client,
                client.stream(
                    "GET", self._url, headers={"accept": "application/json", "accept-encoding": "identity"}
                ) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise SourceError(f"{self._url} answered {answer.status_code}")
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise SourceError(f"{self._url} answered in an encoding that it was not asked for")
                return await self._body(answer)
        except httpx.HTTPError as error:
            raise SourceError(f"{self._url} did not answer: {type(error).__name__}") from error

    async def _body(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAX_JWKS_BYTES:
                raise SourceError(f"{self._url} answered more than {MAX_JWKS_BYTES} bytes")
        return bytes(body)
