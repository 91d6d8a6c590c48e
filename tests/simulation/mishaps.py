"""What goes wrong, and when: every mishap has a name, is drawn from the seed by that name alone, and can be left out.

So a run without some of its mishaps is the same run otherwise, as far as their absence lets it be: that is what
shrinking needs.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

CALL: Final[Mapping[str, float]] = {
    "lose_request": 0.02,
    "lose_answer": 0.03,
    "late": 0.03,
    "duplicate": 0.03,
    "altered": 0.02,
    "slow": 0.02,
    "error_after_work": 0.02,
    "busy": 0.02,
    "refused_bare": 0.004,
    "misconfigured": 0.004,
}
"""What may happen to one call of a participant."""
BARE_CALL: Final[Mapping[str, float]] = {
    kind: rate for kind, rate in CALL.items() if kind not in {"duplicate", "altered"}
}
"""To one of a participant without a barrier. What arrives twice, or changed, only a barrier can tell."""
COMMIT: Final[Mapping[str, float]] = {"lose_request": 0.03, "lose_answer": 0.03, "late": 0.03, "slow": 0.02}
"""What may happen to one write to the store; a read is only lost."""
TICK: Final[Mapping[str, float]] = {
    "crash": 0.03,
    "freeze": 0.02,
    "drain": 0.02,
    "cut_store": 0.02,
    "cut_store_answers": 0.01,
    "cut_participants": 0.02,
    "cut_participant_answers": 0.01,
    "clock_jump": 0.01,
    "redefine": 0.01,
}
"""What may happen to one node within a second."""
OUTAGE: Final[Mapping[str, float]] = {"outage": 0.01}
"""What may happen to the database within a second."""
FAILOVER: Final[Mapping[str, float]] = {"lossy": 0.15}
"""Once in a run: a standby that lacks the last commits takes the database's place."""
SAGA: Final[Mapping[str, float]] = {"cancel": 0.08, "repeat": 0.05, "reuse": 0.03, "same_key": 0.03}
"""What a caller may do beside starting a saga."""
BUSINESS: Final[Mapping[str, float]] = {"reject": 0.04}
UNDOING: Final[Mapping[str, float]] = {"refuse_undo": 0.05}
REPAIR: Final[Mapping[str, float]] = {
    "retry": 0.2,
    "retry_compensation": 0.2,
    "skip_step": 0.2,
    "force_compensation": 0.1,
    "resolve": 0.1,
    "resume": 0.06,
}
"""What an operator who looks at a stuck saga may do."""
INTERVENE: Final[Mapping[str, float]] = {
    "retry": 0.03,
    "retry_compensation": 0.06,
    "skip_step": 0.04,
    "force_compensation": 0.03,
    "resolve": 0.01,
    "pause": 0.05,
    "resume": 0.1,
}
"""And to one that is on its way, or paused."""
OPERATING: Final[Mapping[str, float]] = {"stale": 0.1, "two_at_once": 0.15, "crash_owner": 0.06, "freeze_owner": 0.06}
"""How: on an old version of the saga, together with another operator, or while the saga's owner fails."""
GROUPS: Final = {
    "call": CALL,
    "bare_call": BARE_CALL,
    "commit": COMMIT,
    "tick": TICK,
    "outage": OUTAGE,
    "failover": FAILOVER,
    "saga": SAGA,
    "business": BUSINESS,
    "undoing": UNDOING,
    "repair": REPAIR,
    "intervene": INTERVENE,
    "operating": OPERATING,
}


def draw(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on its arguments alone, in every process."""
    return int.from_bytes(blake2b(f"{seed}/{key}".encode(), digest_size=7).digest(), "big") / (1 << 56)


@dataclass(frozen=True, slots=True)
class Fired:
    """One mishap that happened."""

    group: str
    kind: str
    key: str

    def __str__(self) -> str:
        return f"{self.group} {self.key}: {self.kind}"


class Mishaps:
    """Draws them until ``until_s``.

    Each seed concentrates on some kinds: uniform faults hide what only many of one kind bring about.
    """

    def __init__(
        self,
        seed: int,
        clock: Callable[[], float],
        *,
        until_s: float,
        only: frozenset[str] | None = None,
        scale: float = 1.0,
    ) -> None:
        self.seed = seed
        self.until_s = until_s
        self.fired: list[Fired] = []
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._only = only
        self._tables = {name: self._table(name, rates, scale) for name, rates in GROUPS.items()}

    def _table(self, group: str, rates: Mapping[str, float], scale: float) -> list[tuple[float, str]]:
        bounds: list[tuple[float, str]] = []
        bound = 0.0
        for kind, rate in rates.items():
            bound += rate * scale * (0.0, 0.5, 1.0, 3.0)[int(4 * draw(self.seed, f"swarm/{group}/{kind}"))]
            bounds.append((bound, kind))
        return bounds

    def pick(self, group: str, key: str) -> str | None:
        """The kind of mishap of ``group`` that strikes at ``key``, if one does. Parts of a key have slashes between."""
        table = self._tables[group]
        bound = table[-1][0]
        if not bound or self._clock() >= self.until_s:
            return None
        number = draw(self.seed, f"{group}/{key}")
        if number >= bound:
            return None
        kind = next(kind for bound, kind in table if number < bound)
        fired = Fired(group, kind, key)
        if self._only is not None and str(fired) not in self._only:
            return None
        self.fired.append(fired)
        self.counts[f"{group}:{kind}"] += 1
        return kind

    def may_pick(self, group: str, key: str) -> bool:
        """Whether :meth:`pick` would strike there, if it is asked in time and is let."""
        return draw(self.seed, f"{group}/{key}") < self._tables[group][-1][0]

    def draw(self, key: str) -> float:
        """How long, how much: in [0, 1), by the key."""
        return draw(self.seed, key)
