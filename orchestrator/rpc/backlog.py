"""How long calls wait before a handler takes them: the part of their way that no handler can see.

``grpc.aio`` takes one call a turn of the event loop, and the transport holds the others in the order in which they
came. Only its own books tell how many there are: channelz counts calls as they arrive and as they end.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # no stubs; grpcio-channelz, too, reads them there

PACE_S: Final = 1.0
PACE_OF: Final = 64
"""The pace is that of this many seconds, and of at most so many looks."""
LONGEST_S: Final = 60.0
CHANNELZ: Final = ("grpc.enable_channelz", 1)
"""The argument of a server whose calls are counted."""


def server_ids() -> frozenset[int]:
    """The servers of this process that are counted."""
    found = json.loads(cygrpc.channelz_get_servers(0)).get("server", [])
    return frozenset(int(server["ref"]["serverId"]) for server in found)


class Backlog:
    """Of one server. ``handled`` tells how many calls have come to handlers, and how many of these are under way."""

    def __init__(self, server_id: int | None, handled: Callable[[], tuple[int, int]]) -> None:
        self._server_id = server_id
        self._handled = handled
        self._handled_at: deque[tuple[float, int]] = deque(maxlen=PACE_OF)

    def wait_s(self) -> float:
        """Seconds that a call which arrives now is going to wait, at the pace of late; at most :data:`LONGEST_S`."""
        now_s = time.monotonic()
        begun, under_way = self._handled()
        before = self._handled_at
        while before and now_s - before[0][0] > PACE_S:
            before.popleft()
        before.append((now_s, begun))
        waiting = self._live() - under_way
        if waiting <= 0 or len(before) == 1:
            return 0.0
        elapsed_s, handled = now_s - before[0][0], begun - before[0][1]
        return min(waiting * elapsed_s / max(handled, 1), LONGEST_S)

    def _live(self) -> int:
        """Calls that have arrived and not ended; none at a server that has stopped, or is not known."""
        try:
            data: dict[str, Any] = json.loads(cygrpc.channelz_get_server(self._server_id))["server"]["data"]
        except (TypeError, ValueError):
            return 0
        return int(data.get("callsStarted", 0)) - int(data.get("callsSucceeded", 0)) - int(data.get("callsFailed", 0))
