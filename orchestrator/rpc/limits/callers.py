"""Counts what each caller has under way, and how often it calls. Pure but for the clock that it is given."""

from asyncio import Task
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from contracts.errors import Reason

MAX_KNOWN: Final = 10_000
"""Callers that are remembered while they have nothing under way."""
CROWDED: Final = 0.5
"""From this share of the node's capacity on, no caller may have more of it than an equal share."""
TURN_S: Final = 1.0
"""When a caller that has too much under way should come again."""
BURST_S: Final = 1.0
"""For how long a caller may save up calls that it does not make."""
LONGEST_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class CallerPolicy:
    """Bounds of one caller. The defaults leave a caller that is alone with a node four fifths of it."""

    max_calls: int = 8_000
    """Unary calls under way: until their answers are sent, which they are as the caller reads them."""
    max_watchers: int = 2_000
    """Streams and calls of WaitSaga under way."""
    max_unread_bytes: int = 64 << 20
    """Of answers that the caller does not read, from which on it is given no more."""
    max_calls_per_s: float = 0.0
    """Calls and streams begun; 0 is any number."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is turned away, and when its caller should come again."""

    reason: Reason
    delay_s: float


class Caller:
    """One caller's books."""

    __slots__ = ("at_s", "calls", "refused", "tokens", "unread", "watchers")

    def __init__(self, tokens: float, at_s: float) -> None:
        self.calls = 0
        self.watchers = 0
        self.unread = 0
        self.tokens = tokens
        self.at_s = at_s
        self.refused = 0


class Place:
    """One call's place in the books, until the task that serves it is over."""

    __slots__ = ("_caller", "_callers", "_is_watcher", "_size")

    def __init__(self, callers: "Callers", caller: Caller, is_watcher: bool) -> None:
        self._callers = callers
        self._caller = caller
        self._is_watcher = is_watcher
        self._size = 0

    def answered(self, size: int) -> None:
        """An answer of so many bytes is on its way, at the pace at which the caller reads it."""
        self._size = size
        self._caller.unread += size

    def leave(self, _task: "Task[Any] | None" = None) -> None:
        """The call is over, its answer with it. Called once."""
        caller = self._caller
        caller.unread -= self._size
        if self._is_watcher:
            caller.watchers -= 1
        else:
            caller.calls -= 1
        self._callers.left(caller)


class Callers:
    """All callers of a node. ``capacity`` is how many calls the node takes in all."""

    def __init__(self, policy: CallerPolicy, capacity: int, monotonic_s: Callable[[], float]) -> None:
        self._max_calls: Final = policy.max_calls
        self._max_watchers: Final = policy.max_watchers
        self._max_unread_bytes: Final = policy.max_unread_bytes
        self._capacity: Final = capacity
        self._crowded: Final = capacity * CROWDED
        self._rate: Final = policy.max_calls_per_s
        self._burst: Final = max(1.0, policy.max_calls_per_s * BURST_S)
        self._monotonic_s: Final = monotonic_s
        self._known: Final[OrderedDict[str, Caller]] = OrderedDict()
        self._running = 0
        self._active = 0

    def enter(self, name: str, is_watcher: bool) -> Place | Refusal:
        """A place for one more call of the caller."""
        caller = self._known.get(name)
        if caller is None:
            caller = self._meet(name)
        if (
            (caller.watchers >= self._max_watchers if is_watcher else caller.calls >= self._max_calls)
            or caller.unread > self._max_unread_bytes
            or (self._running >= self._crowded and caller.calls + caller.watchers >= self._share(caller))
        ):
            return Refusal(Reason.TOO_MANY_CALLS, TURN_S)
        if self._rate:
            delay_s = self._spend(caller)
            if delay_s:
                return Refusal(Reason.RATE_LIMITED, delay_s)
        self._running += 1
        if not (caller.calls or caller.watchers):
            self._active += 1
        if is_watcher:
            caller.watchers += 1
        else:
            caller.calls += 1
        return Place(self, caller, is_watcher)

    def left(self, caller: Caller) -> None:
        """One of the caller's calls is over, and is in its books no more."""
        self._running -= 1
        if not (caller.calls or caller.watchers):
            self._active -= 1

    @property
    def known(self) -> int:
        """How many callers are remembered."""
        return len(self._known)

    def _share(self, caller: Caller) -> float:
        """Of the node's capacity, for each of those that have calls under way, the caller among them."""
        sharers = self._active + (not (caller.calls or caller.watchers))
        if sharers == 1:
            return inf  # nobody is kept from anything: whether there is room at all is for others to say
        return max(1.0, self._capacity / sharers)

    def _spend(self, caller: Caller) -> float:
        """0.0 if the caller may call now, else in how many seconds; calls refused in a row are given times in a row."""
        now_s = self._monotonic_s()
        caller.tokens = min(self._burst, caller.tokens + (now_s - caller.at_s) * self._rate)
        caller.at_s = now_s
        if caller.tokens >= 1:
            caller.tokens -= 1
            caller.refused = 0
            return 0.0
        caller.refused += 1
        return min(LONGEST_S, (caller.refused - caller.tokens) / self._rate)

    def _meet(self, name: str) -> Caller:
        if len(self._known) >= MAX_KNOWN:
            self._forget_one()
        caller = self._known[name] = Caller(self._burst, self._monotonic_s())
        return caller

    def _forget_one(self) -> None:
        """One that came long ago and has nothing under way; those that have are no more than the capacity."""
        for _ in range(len(self._known)):
            name, caller = next(iter(self._known.items()))
            if not (caller.calls or caller.watchers):
                del self._known[name]
                return
            self._known.move_to_end(name)
