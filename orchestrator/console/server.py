"""Serves the console in the node's own process and event loop."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

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
    """Serves ``app`` from :meth:`start` to :meth:`stop`, which may be called twice and without a start."""

    def __init__(self, app: ASGIApp, address: str) -> None:
        """``address`` is ``host:port``; port 0 takes a free one."""
        self._host, _, port = address.rpartition(":")
        self._host = self._host.strip("[]")
        self._port: Final = int(port)
        config = uvicorn.Config(
            app,
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
        self._server: Final = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listens and serves; returns the URL. Raises ``OSError`` if it cannot listen there."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.create_server((self._host, self._port), family=family)
        listening.setblocking(False)  # noqa: FBT003  (positional only)
        port = listening.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve([listening]))
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{port}/"

    async def stop(self) -> None:
        """Lets pages that are being answered end, for a few seconds."""
        if self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving], timeout=2 * STOP_S)
