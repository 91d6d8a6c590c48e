"""Serves the metrics to Prometheus, on the node's event loop: it reads what that loop writes."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.types import Receive, Scope, Send

from contracts.following import Follower
from contracts.http_server import BoundedHttp
from contracts.https import Https
from contracts.tls import ServerTls

MAX_CONNECTIONS: Final = 20
IDLE_S: Final = 60
STOP_S: Final = 1


class MetricsAddressError(Exception):
    """The address cannot be listened on; the message says why."""


class _Server(uvicorn.Server):
    """Signals are the node's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


class MetricsServer:
    """Serves ``GET /metrics`` from :meth:`start` to :meth:`stop`, which may be called twice and without a start."""

    def __init__(
        self,
        address: str,
        registry: CollectorRegistry,
        tls: ServerTls | None = None,
        follower: Follower | None = None,
    ) -> None:
        """``address`` is ``host:port``; port 0 takes a free one. ``follower`` tells when files of ``tls`` were renewed.

        Raises ``TlsFileError``.
        """
        host, _, port = address.rpartition(":")
        self._host: Final = host.strip("[]")
        self._port: Final = int(port)
        self._registry: Final = registry
        self._https: Final = None if tls is None else Https(tls, follower)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listens; returns the URL. Raises :class:`MetricsAddressError`."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            why = str(error.strerror).partition(" (")[0]
            raise MetricsAddressError(f"cannot listen on {self._host}:{self._port}: {why}") from error
        listening.setblocking(False)  # noqa: FBT003  (positional only)
        https = self._https
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            http=BoundedHttp,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=STOP_S,
            ssl_context_factory=None if https is None else lambda _config, _default: https.context,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve([listening]))
        name = f"[{self._host}]" if ":" in self._host else self._host
        scheme = "http" if https is None else "https"
        return f"{scheme}://{name}:{listening.getsockname()[1]}/metrics"

    async def stop(self) -> None:
        """Lets scrapes that are being answered end, for a moment."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving], timeout=2 * STOP_S)

    async def _answer(self, scope: Scope, _receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        status, kind, body = 404, "text/plain", b"metrics are at /metrics\n"
        if scope["path"] == "/metrics" and scope["method"] in {"GET", "HEAD"}:
            accepted = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"accept"), "")
            encode, kind = choose_encoder(accepted)
            status, body = 200, encode(self._registry)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
