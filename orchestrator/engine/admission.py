"""Which starts a node turns away, and when their callers should come again. Pure but for the clock that it is given."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final
from uuid import UUID

SAMPLES: Final = 4
"""Delays that are looked at: the least of them is what stands for longer than a moment."""
FULL: Final = 3.0
"""From this many times the target on every start is turned away, or :data:`MOST` of them; before that, fewer."""
MOST: Final = 2 / 3
"""Of the starts, that a node with few sagas turns away at the most: a refusal costs a tenth of a saga, and a node that
only refuses carries nothing out. What it cannot take then waits in the transport, up to its caller's deadline."""
SHARE: Final = 0.75
"""Of the sagas in memory: neither starts nor takeovers may fill more, so that neither has to wait for the other."""
MODEST: Final = 2
"""A caller with less than one in so many of an equal share of the sagas is not turned away for a delay."""
RATE_S: Final = 1.0
"""Over how long admitted starts are counted."""
FIRST_RATE: Final = 100.0
LEAST_RATE: Final = 5.0
"""Starts per second that are expected before anything was measured, and at the least."""
APPOINTMENTS: Final = 0.5
"""Share of the admitted rate that is given to those who come again; new callers come too."""
LEAST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 30.0
SPREAD: Final = (0.8, 1.2)


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """Bounds of what one node takes on."""

    max_sagas: int = 20_000
    """Sagas in memory."""
    max_sagas_per_caller: int = 10_000
    """Sagas in memory that one caller started here."""
    min_sagas: int = 64
    """Sagas in memory up to which none is turned away for a delay, as the node would only idle, unless it is late to
    take the calls; and then at most :data:`MOST` of them."""
    target_delay_s: float = 0.4
    """How far the node may lag behind before it turns starts away."""


class Admission:
    """One node's. ``sample`` is told, every now and then, how far the node lags behind."""

    def __init__(
        self, policy: AdmissionPolicy, monotonic_s: Callable[[], float], uniform: Callable[[float, float], float]
    ) -> None:
        self._policy = policy
        self._monotonic_s = monotonic_s
        self._uniform = uniform
        self._delays: deque[float] = deque(maxlen=SAMPLES)
        self._backlogs: deque[float] = deque(maxlen=SAMPLES)
        self._owed = 0.0
        self._callers: dict[UUID, str] = {}
        self._started: Counter[str] = Counter()
        self._rate = FIRST_RATE
        self._counted = self._refused = 0
        self._counted_from_s = monotonic_s()
        self._next_s = 0.0
        self.refused = 0
        """Starts turned away since the node began."""

    # ---- by load ----

    def sample(self, delay_s: float, backlog_s: float) -> None:
        """The node does what it was asked to with this delay, and takes calls with that."""
        self._delays.append(max(delay_s, backlog_s))
        self._backlogs.append(backlog_s)

    def forget_samples(self) -> None:
        """Nothing is asked of the node."""
        self._delays.clear()
        self._backlogs.clear()

    @property
    def delay_s(self) -> float:
        """How far the node lags behind, for longer than a moment."""
        return _lasting(self._delays)

    @property
    def lags(self) -> bool:
        """Whether it lags further behind than it should."""
        return self.delay_s > self._policy.target_delay_s

    def shed(self, in_memory: int, caller: str) -> bool:
        """Whether to turn the next start away: evenly, for the share that the delay says, and none of a caller that has
        asked for little: it is others that the node lags behind for.
        """
        if self._is_modest(caller):
            return False
        # With few sagas the node has hands free, however late it is; not so if it cannot even take the calls.
        delay_s, most = (self.delay_s, 1.0) if in_memory >= self._policy.min_sagas else (_lasting(self._backlogs), MOST)
        over = (delay_s - self._policy.target_delay_s) / (self._policy.target_delay_s * (FULL - 1))
        if over <= 0:
            self._owed = 0.0
            return False
        self._owed += min(over, most)
        if self._owed < 1:
            return False
        self._owed -= 1
        return True

    def _is_modest(self, caller: str) -> bool:
        """Whether it has less than half of an equal share of the sagas in memory that were started here."""
        return bool(self._started) and MODEST * self._started[caller] * len(self._started) < len(self._callers)

    # ---- by number ----

    def is_full(self, in_memory: int, caller: str) -> bool:
        """Whether one more saga of the caller would be too many. ``in_memory``: sagas in memory now."""
        policy = self._policy
        return (
            in_memory >= policy.max_sagas
            or len(self._callers) >= ceil(policy.max_sagas * SHARE)
            or self._started[caller] >= policy.max_sagas_per_caller
        )

    def room_for_claims(self, in_memory: int) -> int:
        """How many more sagas may be taken over."""
        most = ceil(self._policy.max_sagas * SHARE) - (in_memory - len(self._callers))
        return min(most, self._policy.max_sagas - in_memory)

    def started(self, saga_id: UUID, caller: str) -> None:
        """The caller's saga is in memory from now on."""
        self._callers[saga_id] = caller
        self._started[caller] += 1
        self._measure()
        self._counted += 1

    def left(self, saga_id: UUID) -> None:
        """A saga left memory, whoever brought it there."""
        caller = self._callers.pop(saga_id, None)
        if caller is not None:
            self._started[caller] -= 1
            if not self._started[caller]:
                del self._started[caller]

    # ---- when to come again ----

    def appointment_s(self) -> float:
        """For one that is turned away: seconds until it should come again.

        Each is given a place behind those that were turned away before, at half the rate at which starts are admitted,
        so that those who come again are never more than the node can take.
        """
        self.refused += 1
        now_s = self._measure()
        self._refused += 1
        place_s = max(self._next_s, now_s) + 1 / (self._rate * APPOINTMENTS)
        self._next_s = min(place_s, now_s + LONGEST_DELAY_S / SPREAD[1])
        return max(LEAST_DELAY_S, self._next_s - now_s) * self._uniform(*SPREAD)

    def _measure(self) -> float:
        """What the node can take shows only while it turns some away, or takes more than ever."""
        now_s = self._monotonic_s()
        passed_s = now_s - self._counted_from_s
        if passed_s >= RATE_S:
            measured = self._counted / passed_s
            if self._refused and passed_s < 2 * RATE_S:
                self._rate = max(LEAST_RATE, (self._rate + measured) / 2)
            else:
                self._rate = max(self._rate, measured)
            self._counted = self._refused = 0
            self._counted_from_s = now_s
        return now_s


def _lasting(delays: deque[float]) -> float:
    return min(delays) if len(delays) == SAMPLES else 0.0
