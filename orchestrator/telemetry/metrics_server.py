"""Serves the metrics to Prometheus, on the node's event loop: it reads what that loop writes."""

from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.types import Receive, Scope, Send

from contracts.following import Follower
from contracts.http_server import HttpBounds, HttpServer
from contracts.https import Https
from contracts.tls import ServerTls

PATH: Final = "metrics"
BOUNDS: Final = HttpBounds(max_connections=20, idle_s=60, stop_s=1)


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
        self._registry: Final = registry
        self._server: Final = HttpServer(
            address, "METRICS_ADDRESS", BOUNDS, None if tls is None else Https(tls, follower)
        )

    async def start(self) -> str:
        """Listens; returns the URL. Raises ``HttpAddressError``."""
        return self._server.start(self._answer, self._server.listen()) + PATH

    async def stop(self) -> None:
        """Lets scrapes that are being answered end, for a moment."""
        await self._server.stop()

    async def _answer(self, scope: Scope, _receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        status, kind, body = 404, "text/plain", b"metrics are at /metrics\n"
        if scope["path"] == f"/{PATH}" and scope["method"] in {"GET", "HEAD"}:
            accepted = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"accept"), "")
            encode, kind = choose_encoder(accepted)
            status, body = 200, encode(self._registry)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
