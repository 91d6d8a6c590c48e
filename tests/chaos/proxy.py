"""A TCP proxy that does to a connection what networks do: cuts, black holes, delays, late delivery."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

CHUNK: Final = 64 * 1024
LABELS: Final = ("writer", "renewer", "listener", "pool")
"""Purposes of a node's connections to PostgreSQL, by the name that each gives in its startup message."""

Direction = Literal["up", "down"]
"""``up`` is from the client to the server."""
Address = tuple[str, int] | str
"""Host and port, or the path of a UNIX socket."""


@dataclass(eq=False)
class Link:
    """One proxied connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    label: str = ""
    sent: bytearray = field(default_factory=bytearray)
    """All that the client has sent, where the proxy records."""
    dead: bool = False

    def cut(self) -> None:
        """Closes both ends at once."""
        self.dead = True
        for writer in (self.client, self.server):
            writer.transport.abort()


@dataclass(eq=False)
class Trap:
    """Springs at the first chunk that fits. ``cut`` drops it and closes both ends; ``hole`` drops it and all that
    follows on the connection, which stays open; ``hold`` keeps it until :meth:`release`; ``late`` keeps what the client
    has sent so far, cuts, and :meth:`Proxy.deliver` sends it later. All but the first match of ``again`` are cut.
    """

    direction: Direction
    needle: bytes
    action: Literal["cut", "hole", "hold", "late"]
    label: str = ""
    again: bool = False
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    caught: int = 0
    """Bytes that did not arrive when they should."""
    recording: bytes = b""
    matches: int = 0

    def fits(self, link: Link, direction: Direction, chunk: bytes) -> bool:
        """Whether it springs."""
        open_ = self.again or not self.matches
        return open_ and direction == self.direction and self.label in link.label and self.needle in chunk

    def release(self) -> None:
        """Lets what was held go on."""
        self.released.set()


class Proxy:
    """Between one client and one server. ``delay_s`` holds every chunk up; ``deaf`` names directions that swallow."""

    def __init__(self, target: Callable[[], Address], *, record: bool = False) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.deaf: set[Direction] = set()
        self.refusing = False
        self.swallowed = 0
        self.refused = 0
        self.connections = 0
        self._target = target
        self._record = record
        self._links: set[Link] = set()
        self._traps: list[Trap] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listens on a free port of loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Closes everything."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, label: str = "") -> int:
        """Closes every connection, or those of a label; returns how many."""
        chosen = [link for link in self._links if label in link.label]
        for link in chosen:
            link.cut()
        return len(chosen)

    def trap(self, trap: Trap) -> Trap:
        """Sets a trap."""
        self._traps.append(trap)
        return trap

    def heal(self) -> None:
        """Everything passes again. Connections that have lost bytes are closed: nothing can mend them."""
        self.delay_s, self.refusing = 0.0, False
        if self.deaf:
            self.deaf = set()
            self.cut()
        for trap in self._traps:
            trap.release()
        self._traps.clear()
        for link in list(self._links):
            if link.dead:
                link.cut()

    async def deliver(self, trap: Trap) -> int:
        """Sends what a ``late`` trap kept, on a connection of its own, and returns how many bytes answered."""
        reader, writer = await self._connect()
        writer.write(trap.recording)
        await writer.drain()
        answered = 0
        with suppress(TimeoutError, OSError):
            while chunk := await asyncio.wait_for(reader.read(CHUNK), 1.5):
                answered += len(chunk)
        writer.transport.abort()
        return answered

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self._target()
        if isinstance(target, str):
            return await asyncio.open_unix_connection(target)
        return await asyncio.open_connection(*target)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            self.refused += 1
            writer.transport.abort()
            return
        self.connections += 1
        try:
            server_reader, server_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, server_writer)
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._pump(link, "up", reader, server_writer)),
            asyncio.create_task(self._pump(link, "down", server_reader, writer)),
        ]
        self._tasks.update(pumps)
        for pump in pumps:
            pump.add_done_callback(self._tasks.discard)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        link.cut()
        await asyncio.gather(*pumps, return_exceptions=True)
        self._links.discard(link)

    async def _pump(
        self, link: Link, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if direction == "up":
                    self._learn(link, chunk)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if direction in self.deaf or link.dead:
                    self.swallowed += len(chunk)
                    link.dead = True
                    continue
                if await self._passes(link, direction, chunk):
                    writer.write(chunk)
                    await writer.drain()

    def _learn(self, link: Link, chunk: bytes) -> None:
        if self._record:
            link.sent += chunk
        if not link.label and b"application_name\0" in chunk:
            link.label = next((label for label in LABELS if b"orchestrator " + label.encode() in chunk), "other")

    async def _passes(self, link: Link, direction: Direction, chunk: bytes) -> bool:
        for trap in self._traps:
            if not trap.fits(link, direction, chunk):
                continue
            trap.matches += 1
            trap.caught += len(chunk)
            if trap.matches == 1:
                trap.recording = bytes(link.sent)
            trap.sprung.set()
            if trap.action == "hold":
                await trap.released.wait()
                return True
            if trap.action == "hole":
                link.dead = True
            else:
                link.cut()
            return False
        return True
