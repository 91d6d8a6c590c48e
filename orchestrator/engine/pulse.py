"""How far a node lags behind: measured while sagas are started, and not otherwise."""

import asyncio
from collections.abc import Callable
from typing import Final

BEAT_S: Final = 0.05
REST_S: Final = 1.0
"""The pulse stops so long after the last start was asked for."""


class Pulse:
    """Tells ``sample`` two delays: the greater of that of the event loop and of the start that has waited longest for
    its commit, and the greatest of those that others watch.
    """

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        waiting_since_s: Callable[[], float | None],
        sample: Callable[[float, float], None],
        rest: Callable[[], None],
    ) -> None:
        self._monotonic_s = monotonic_s
        self._waiting_since_s = waiting_since_s
        self._sample = sample
        self._rest = rest
        self._touched_s = 0.0
        self._due_s: float | None = None
        self._watched: list[Callable[[], float]] = []

    def watch(self, delay_s: Callable[[], float]) -> None:
        """Has one more delay count, in seconds."""
        self._watched.append(delay_s)

    def touch(self) -> None:
        """A start was asked for."""
        self._touched_s = self._monotonic_s()
        if self._due_s is None:
            self._arm()

    def _arm(self) -> None:
        self._due_s = self._monotonic_s() + BEAT_S
        asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        assert self._due_s is not None
        now_s = self._monotonic_s()
        lag_s, since_s = now_s - self._due_s, self._waiting_since_s()
        waited_s = 0.0 if since_s is None else now_s - since_s
        self._sample(max(0.0, lag_s, waited_s), max((delay_s() for delay_s in self._watched), default=0.0))
        if now_s - self._touched_s < REST_S:
            self._arm()
        else:
            self._due_s = None
            self._rest()
