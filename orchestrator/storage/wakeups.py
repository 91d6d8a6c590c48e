"""NOTIFY as a hint, on a connection of its own that is opened again whenever it is lost."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final
from uuid import UUID

import structlog

from orchestrator.engine.ports import StoreUnavailable
from orchestrator.storage.connections import Connected, Connection
from orchestrator.storage.errors import store_errors

log = structlog.get_logger(__name__)

CLAIMABLE: Final = "claimable"
REQUEST: Final = "request"
BOTH: Final = (CLAIMABLE, REQUEST)


class Wakeups(Connected):
    """Implements the port of the same name. Needs a session: no transaction-pooling proxy."""

    async def listen(self, node_id: UUID) -> AsyncGenerator[str, None]:
        """See ``Wakeups.listen``. Hints that arrive together are yielded once. Ends only by being closed."""
        settings = self._connections.settings
        delay_s = settings.reconnect_min_s
        while True:
            try:
                async with aclosing(self._listen_once(node_id)) as hints:
                    async for hint in hints:
                        delay_s = settings.reconnect_min_s
                        yield hint
            except StoreUnavailable as error:
                log.info("listener_reconnects", node=str(node_id), error=str(error), within_s=2 * delay_s)
                await asyncio.sleep(random.uniform(0, 2 * delay_s))  # noqa: S311  (spreads nodes, guards nothing)
                delay_s = min(2 * delay_s, settings.reconnect_max_s)

    async def _listen_once(self, node_id: UUID) -> AsyncGenerator[str, None]:
        """Yields both hints once it listens, then those that arrive, until the connection is lost."""
        with store_errors("connecting the listener"):
            connection = await self._connections.listener.connect()
        try:
            arrived = _Arrived(str(node_id))
            with store_errors("listening"):
                connection.add_termination_listener(arrived.lost)
                await connection.add_listener("saga_claimable", arrived.claimable)
                await connection.add_listener("saga_request", arrived.request)
            for hint in BOTH:
                yield hint  # what happened before it listened
            while True:
                await self._wait(connection, arrived)
                for hint in arrived.take():
                    yield hint
        finally:
            connection.terminate()

    async def _wait(self, connection: Connection, arrived: "_Arrived") -> None:
        """Returns when something arrived; proves now and then that the connection would still deliver it."""
        while not arrived.event.is_set():
            try:
                async with asyncio.timeout(self._connections.settings.listen_ping_s):
                    await arrived.event.wait()
            except TimeoutError:
                with store_errors("listening"):
                    await connection.execute("SELECT 1")
        if arrived.is_lost:
            raise StoreUnavailable("the listener's connection was lost")


class _Arrived:
    """Hints since the last look. Bounded by being a set of two."""

    def __init__(self, node_id: str) -> None:
        self.event = asyncio.Event()
        self.is_lost = False
        self._node_id = node_id
        self._hints: set[str] = set()

    def claimable(self, *_notification: Any) -> None:
        self._add(CLAIMABLE)

    def request(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        if payload == self._node_id:
            self._add(REQUEST)

    def lost(self, _connection: Any) -> None:
        self.is_lost = True
        self.event.set()

    def take(self) -> list[str]:
        self.event.clear()
        hints, self._hints = sorted(self._hints), set()
        return hints

    def _add(self, hint: str) -> None:
        self._hints.add(hint)
        self.event.set()
