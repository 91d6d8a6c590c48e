"""The database's time as the node estimates it: the last answer plus a monotonic clock. No wall clock counts."""

import time
from collections.abc import Callable


class DatabaseClock:
    """Microseconds since the Unix epoch, never going back. Before the first answer it stands at 0."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._offset_us: int | None = None
        self._last_us = 0

    def observe(self, database_us: int, asked_at_s: float, answered_at_s: float) -> None:
        """Takes an answer; the database's clock was read somewhere between the two monotonic times."""
        middle_us = int((asked_at_s + answered_at_s) / 2 * 1_000_000)
        self._offset_us = database_us - middle_us

    def monotonic_s(self) -> float:
        """The node's own monotonic clock, in seconds."""
        return self._monotonic_s()

    def now_us(self) -> int:
        """The estimate."""
        if self._offset_us is not None:
            self._last_us = max(self._last_us, int(self._monotonic_s() * 1_000_000) + self._offset_us)
        return self._last_us

    def seconds_until(self, at_us: int) -> float:
        """From now to ``at_us``; 0 if that has passed."""
        return max(0.0, (at_us - self.now_us()) / 1_000_000)
