"""HTTP/1.1 of a node, which uvicorn speaks, with bounds on whoever connects and does not go on."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

READ_S: float = 10.0
"""How long a client may take to send a request, body and all, and to begin to read an answer; at most twice that."""
ROOM: int = 2
"""Connections, as a multiple of those that are served: the others are told that it is too much. Further ones are closed
as they come."""


class BoundedHttp(H11Protocol):
    """uvicorn bounds how long a connection idles after an answer, and nothing before: neither the number of
    connections, nor how long one is silent at first, or in the middle of a request.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As its base."""
        super().__init__(*arguments, **named)
        self._since_s = 0.0
        self._rests = False
        self._was_unread = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base has it
        """Begins to count, or closes it."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > ROOM * self.limit_concurrency:
            transport.abort()
            return
        self._since_s = self.loop.time()
        self._timer = self.loop.call_later(READ_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the counting."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A request begins with its first byte."""
        if self._rests:
            self._rests, self._since_s = False, self.loop.time()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Now the idle time of its base counts."""
        self._rests = True
        super().on_response_complete()

    def _look(self) -> None:
        is_unread = self.flow.write_paused
        is_late = self._waits_for_client() and self.loop.time() - self._since_s >= READ_S
        if is_late or (is_unread and self._was_unread):
            self.transport.abort()
            return
        self._was_unread = is_unread
        self._timer = self.loop.call_later(READ_S, self._look)

    def _waits_for_client(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first, whatever its type says
        return not self._rests and (cycle is None or cycle.response_complete or cycle.more_body)
