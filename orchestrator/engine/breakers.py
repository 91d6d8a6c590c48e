"""When to leave a participant alone that does not answer, and how to find out that it does again.

Pure: every time is passed in, in seconds of the node's monotonic clock.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BUCKETS: Final = 10
"""Parts of the window; it moves on by one of them at a time."""


class BreakerState(StrEnum):
    """Closed lets calls through, as a closed circuit lets current."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and for how long. Durations in seconds."""

    window_s: float = 10.0
    min_calls: int = 20
    """Calls that must have ended within the window before it is judged: with fewer there is nobody to protect, and the
    steps' own retry budgets rule."""
    failure_share: float = 0.8
    """A participant that still answers one call in three does its work: there the steps' own retries serve better."""
    open_s: float = 2.0
    """The first time; doubled each time that every probe fails, up to ``max_open_s``."""
    max_open_s: float = 30.0
    probes: int = 3
    """Calls while it is half-open: one that is answered closes it, and if none is it opens again."""


class Breaker:
    """One participant's. A result counts only under the ``generation`` in which its call was issued: what was sent
    before the breaker opened says nothing about the participant after that.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._width_s = policy.window_s / BUCKETS
        self.state = BreakerState.CLOSED
        self.generation = 0
        self.opened_s = 0.0
        """When it last left the closed state."""
        self.opens = 0
        """How often it did."""
        self._open_s = policy.open_s
        self._buckets: deque[list[int]] = deque()
        """Number, calls and failures of each part of the window that saw any."""
        self._calls = 0
        self._failures = 0
        self._probing = 0
        self._silent = 0

    @property
    def probes_left(self) -> int:
        """How many more probes may be sent now."""
        if self.state is not BreakerState.HALF_OPEN:
            return 0
        return self._policy.probes - self._silent - self._probing

    def begin(self) -> int:
        """A call is issued; returns the generation to end it with."""
        if self.state is BreakerState.HALF_OPEN:
            self._probing += 1
        return self.generation

    def end(self, generation: int, now_s: float, *, failed: bool | None) -> None:
        """A call ended; ``failed`` is None if it was cut short and says nothing."""
        if generation != self.generation:
            return
        if self.state is BreakerState.HALF_OPEN:
            self._probing -= 1
            if failed:
                self._silent += 1
                if self._silent >= self._policy.probes:
                    self._open_s = min(self._open_s * 2, self._policy.max_open_s)
                    self._turn(BreakerState.OPEN)
            elif failed is not None:
                self._open_s = self._policy.open_s
                self._turn(BreakerState.CLOSED)
        elif failed is not None:
            self._note(now_s, failed)
            policy = self._policy
            if self._calls >= policy.min_calls and self._failures >= policy.failure_share * self._calls:
                self.opened_s = now_s
                self.opens += 1
                self._turn(BreakerState.OPEN)

    def probe(self) -> None:
        """It was open for as long as it should be."""
        assert self.state is BreakerState.OPEN, self.state
        self._turn(BreakerState.HALF_OPEN)

    @property
    def pause_s(self) -> float:
        """How long it should stay open this time."""
        return self._open_s

    def recent_calls(self, now_s: float) -> int:
        """How many calls ended within the window."""
        self._forget(int(now_s / self._width_s))
        return self._calls

    def failure_share(self, now_s: float) -> float:
        """Of the calls that ended within the window; 0 without any."""
        self._forget(int(now_s / self._width_s))
        return self._failures / self._calls if self._calls else 0.0

    def _turn(self, state: BreakerState) -> None:
        self.state = state
        self.generation += 1
        self._probing = self._silent = 0
        if state is BreakerState.CLOSED:
            self._buckets.clear()
            self._calls = self._failures = 0

    def _note(self, now_s: float, failed: bool) -> None:
        number = int(now_s / self._width_s)
        if not self._buckets or self._buckets[-1][0] != number:
            self._forget(number)
            self._buckets.append([number, 0, 0])
        bucket = self._buckets[-1]
        bucket[1] += 1
        bucket[2] += failed
        self._calls += 1
        self._failures += failed

    def _forget(self, number: int) -> None:
        while self._buckets and self._buckets[0][0] <= number - BUCKETS:
            _, calls, failures = self._buckets.popleft()
            self._calls -= calls
            self._failures -= failures
