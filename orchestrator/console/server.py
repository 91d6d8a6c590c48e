"""Serves the console in the node's own process and event loop, as a client of the node's own port."""

from typing import Final, cast

import grpc

from contracts.following import Follower
from contracts.http_server import HttpBounds, HttpServer
from contracts.https import Https
from contracts.tls import ServerTls
from orchestrator.console.app import create_app
from orchestrator.console.node_channel import NodeChannel
from orchestrator.console.page import load_templates
from orchestrator.console.settings import ConsoleSettings

BOUNDS: Final = HttpBounds(max_connections=100, idle_s=15, stop_s=3)


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
        self._settings: Final = settings
        self._templates: Final = load_templates()
        self._server: Final = HttpServer(
            address, "CONSOLE_ADDRESS", BOUNDS, None if tls is None else Https(tls, follower)
        )
        self._node_tls: Final = node_tls
        self._follower: Final = follower
        self._channel: NodeChannel | None = None

    async def start(self, node_address: str) -> str:
        """Listens and serves what the node at ``node_address`` answers, as soon as it does; returns the URL.

        Raises ``HttpAddressError``.
        """
        listening = self._server.listen()
        self._channel = NodeChannel(node_address, self._node_tls, self._follower)
        channel = cast("grpc.aio.Channel", self._channel)  # it is all that stubs ask of one
        return self._server.start(create_app(channel, self._settings, templates=self._templates), listening)

    async def stop(self) -> None:
        """Lets pages that are being answered end, for a few seconds."""
        await self._server.stop()
        if self._channel is not None:
            await self._channel.close()
