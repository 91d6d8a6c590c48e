"""An HTTP server beside the gRPC one, in the same process and event loop: for people, and for Prometheus."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from contracts.bounded_http import BoundedHttp
from contracts.https import Https


class HttpAddressError(Exception):
    """The address cannot be listened on; the message says why. ``setting`` is what names the address."""

    def __init__(self, setting: str, text: str) -> None:
        super().__init__(text)
        self.setting = setting


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """Of one server."""

    max_connections: int
    idle_s: int
    """How long a connection may rest between requests."""
    stop_s: int
    """How long requests under way may go on at the end."""


class _Server(uvicorn.Server):
    """Signals are the process's own business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


class HttpServer:
    """Serves from :meth:`start` to :meth:`stop`, which may be called twice and without a start."""

    def __init__(self, address: str, setting: str, bounds: HttpBounds, https: Https | None) -> None:
        """``address`` is ``host:port``; port 0 takes a free one. Without ``https`` it serves in the clear."""
        self._setting: Final = setting
        host, _, port = address.rpartition(":")
        self._host: Final = host.strip("[]")
        self._port: Final = int(port)
        self._bounds: Final = bounds
        self._https: Final = https
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def listen(self) -> socket.socket:
        """Takes the address, before anything is made to serve there. Raises :class:`HttpAddressError`."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            why = str(error.strerror).partition(" (")[0]
            text = (
                f"cannot listen on {self._host}:{self._port}: {why}; choose another address (port 0 takes a free one)"
            )
            raise HttpAddressError(self._setting, text) from error
        listening.setblocking(False)  # noqa: FBT003  (positional only)
        return listening

    def start(self, app: Any, listening: socket.socket) -> str:
        """Serves an ASGI application on what :meth:`listen` gave; returns the URL of its root."""
        https, bounds = self._https, self._bounds
        config = uvicorn.Config(
            app,
            interface="asgi3",
            http=BoundedHttp,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=bounds.max_connections,
            timeout_keep_alive=bounds.idle_s,
            timeout_graceful_shutdown=bounds.stop_s,
            ssl_context_factory=None if https is None else lambda _config, _default: https.context,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve([listening]))
        name = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if https is None else 'https'}://{name}:{listening.getsockname()[1]}/"

    async def stop(self) -> None:
        """Lets requests under way end, for a while."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving], timeout=2 * self._bounds.stop_s)
