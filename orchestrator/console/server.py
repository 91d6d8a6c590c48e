"""Serves the console in the node's own process and event loop, as a client of the node's own port."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

import grpc
import uvicorn

from contracts.following import Follower
from contracts.http_server import BoundedHttp
from contracts.https import Https
from contracts.tls import ServerTls
from orchestrator.console.addresses import ConsoleAddressError
from orchestrator.console.app import create_app
from orchestrator.console.node_channel import NodeChannel
from orchestrator.console.page import load_templates
from orchestrator.console.settings import ConsoleSettings

MAX_CONNECTIONS: Final = 100
IDLE_S: Final = 15
STOP_S: Final = 3


class _Server(uvicorn.Server):
    """Signals are the node's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


class ConsoleServer:
    """Serves from :meth:`start` to :meth:`stop`, which may be called twice and without a start."""

    def __init__(
        self,
        address: str,
        settings: ConsoleSettings,
        *,
        tls: ServerTls | None = None,
        node_tls: ServerTls | None = None,
        follower: Follower | None = None,
    ) -> None:
        """``address`` is ``host:port``; port 0 takes a free one. Compiles the templates: a fraction of a second.

        ``tls`` is what browsers are served with, ``node_tls`` what the node serves with; ``follower`` tells when either
        was renewed. Raises ``TlsFileError``.
        """
        host, _, port = address.rpartition(":")
        self._host: Final = host.strip("[]")
        self._port: Final = int(port)
        self._settings: Final = settings
        self._templates: Final = load_templates()
        self._https: Final = None if tls is None else Https(tls, follower)
        self._node_tls: Final = node_tls
        self._follower: Final = follower
        self._channel: NodeChannel | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, node_address: str) -> str:
        """Listens and serves what the node at ``node_address`` answers, as soon as it does; returns the URL.

        Raises :class:`ConsoleAddressError`.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            why = str(error.strerror).partition(" (")[0]
            text = (
                f"cannot listen on {self._host}:{self._port}: {why}; choose another address (port 0 takes a free one)"
            )
            raise ConsoleAddressError(text) from error
        listening.setblocking(False)  # noqa: FBT003  (positional only)
        self._channel = NodeChannel(node_address, self._node_tls, self._follower)
        channel = cast("grpc.aio.Channel", self._channel)  # it is all that stubs ask of one
        https = self._https
        config = uvicorn.Config(
            create_app(channel, self._settings, templates=self._templates),
            ssl_context_factory=None if https is None else lambda _config, _default: https.context,
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
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve([listening]))
        name = f"[{self._host}]" if ":" in self._host else self._host
        scheme = "http" if https is None else "https"
        return f"{scheme}://{name}:{listening.getsockname()[1]}/"

    async def stop(self) -> None:
        """Lets pages that are being answered end, for a few seconds."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving], timeout=2 * STOP_S)
        if self._channel is not None:
            await self._channel.close()
