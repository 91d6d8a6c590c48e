"""The token that says who calls: read from a file, and sent with every call as ``authorization: Bearer …``."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc

from orchestrator.cli.sagactl.exits import CommandError, ExitCode

MAX_TOKEN_CHARS: Final = 8192


class _Details(NamedTuple):
    """What gRPC asks of ``ClientCallDetails``, which it offers no way to change."""

    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str | bytes]]
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class BearerToken(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Whoever renews the token replaces the file: each call sends what it holds by then."""

    def __init__(self, file: Path) -> None:
        """Raises :class:`CommandError` if the file holds no token."""
        self._file: Final = file
        self._token = _read(file)

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """A call with one answer."""
        return continuation(self._signed(details), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """A call with a stream of answers."""
        return continuation(self._signed(details), request)

    def _signed(self, details: Any) -> _Details:
        with suppress(CommandError):  # it is being replaced: the last one may still count, or the node says so
            self._token = _read(self._file)
        metadata = (*(details.metadata or ()), ("authorization", f"Bearer {self._token}"))
        return _Details(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )


def _read(file: Path) -> str:
    try:
        with file.open(encoding="ascii") as opened:
            token = opened.read(MAX_TOKEN_CHARS + 1).strip()
    except OSError as error:
        raise CommandError(ExitCode.USAGE, f"the file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        token = ""
    if not token or len(token) > MAX_TOKEN_CHARS or not all("!" <= each <= "~" for each in token):
        raise CommandError(
            ExitCode.USAGE, f"the file {file} holds no token: one line of at most {MAX_TOKEN_CHARS} characters"
        )
    return token
