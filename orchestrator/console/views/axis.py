"""Attempts on an axis of time. Where nothing happened for long it is drawn shorter, or milliseconds would vanish."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from orchestrator.console.times import span

MIN_GAP_SHARE: Final = 0.12
"""A span without anything is drawn at least this long, as a share of all attempts together, if it was."""
FOLD_FROM: Final = 3.0
"""How many times too long a span is before it is drawn shorter."""
MIN_BAR: Final = 0.4
"""Percent."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """From ``start_s`` to ``end_s``, both in seconds since 1970."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Fold:
    """A span that is drawn shorter than it was: where its middle stands in percent, and how long it was."""

    at: float
    left: float
    width: float
    label: str


class Axis:
    """Maps times to percents of the width."""

    def __init__(self, stretches: Sequence[Stretch], start_s: float, end_s: float) -> None:
        end_s = max(end_s, start_s + 0.001)
        busy = _merged([Stretch(start_s, start_s), *stretches, Stretch(end_s, end_s)])
        gaps = [later.start_s - earlier.end_s for earlier, later in pairwise(busy)]
        busy_s = sum(each.end_s - each.start_s for each in busy)
        cap_s = _cap(busy_s, gaps)
        self._marks: list[tuple[float, float]] = []
        folds: list[tuple[float, float, float]] = []
        drawn = 0.0
        for number, each in enumerate(busy):
            self._marks.append((each.start_s, drawn))
            drawn += each.end_s - each.start_s
            self._marks.append((each.end_s, drawn))
            if number < len(gaps):
                shown_s = gaps[number] if gaps[number] <= FOLD_FROM * cap_s else cap_s
                if shown_s < gaps[number]:
                    folds.append((drawn, shown_s, gaps[number]))
                drawn += shown_s
        self._total = max(drawn, 1e-9)
        self.folds = tuple(
            Fold(
                round(100 * (at + shown_s / 2) / self._total, 2),
                round(100 * at / self._total, 2),
                round(100 * shown_s / self._total, 2),
                span(gap_s),
            )
            for at, shown_s, gap_s in folds
        )

    def percent(self, at_s: float) -> float:
        """Where the time stands, from 0 to 100."""
        earlier = self._marks[0]
        if at_s <= earlier[0]:
            return 0.0
        for mark in self._marks[1:]:
            if at_s <= mark[0]:
                length_s = mark[0] - earlier[0]
                share = (at_s - earlier[0]) / length_s if length_s > 0 else 1.0
                return round(100 * (earlier[1] + share * (mark[1] - earlier[1])) / self._total, 2)
            earlier = mark
        return 100.0

    def bar(self, stretch: Stretch) -> tuple[float, float]:
        """Left and width in percent; wide enough to be seen."""
        left = self.percent(stretch.start_s)
        width = max(self.percent(stretch.end_s) - left, MIN_BAR)
        return round(min(left, 100 - width), 2), round(width, 2)


def _merged(stretches: Sequence[Stretch]) -> list[Stretch]:
    merged: list[Stretch] = []
    for each in sorted(stretches, key=lambda one: one.start_s):
        if merged and each.start_s <= merged[-1].end_s:
            merged[-1] = Stretch(merged[-1].start_s, max(merged[-1].end_s, each.end_s))
        else:
            merged.append(each)
    return merged


def _cap(busy_s: float, gaps: Sequence[float]) -> float:
    """The longest that a gap is drawn, in seconds of the axis."""
    if not gaps:
        return 0.0
    usual_s = sorted(gaps)[(len(gaps) - 1) // 2]
    return max(MIN_GAP_SHARE * (busy_s or usual_s), min(usual_s, busy_s / 2), 0.001)
