"""Times and lengths of time for people. All times are UTC and say so."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_LAST_S: Final = 253_402_300_799  # the end of year 9999, beyond which no calendar goes
SOON_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: ``iso`` for machines, ``clock`` in full for people, ``ago`` relative to now."""

    iso: str
    clock: str
    ago: str


def seconds(value: Timestamp | Duration) -> float:
    """Of a timestamp since 1970, or of a duration."""
    return float(value.seconds) + value.nanos / 1e9


def moment(value: Timestamp, now_s: float) -> Moment | None:
    """None for a timestamp that is not set."""
    at_s = seconds(value)
    return None if at_s == 0 else moment_at(at_s, now_s)


def moment_at(at_s: float, now_s: float) -> Moment:
    """``at_s`` and ``now_s`` in seconds since 1970."""
    when = datetime.fromtimestamp(min(max(at_s, 0), _LAST_S), UTC)
    away_s = at_s - now_s
    ago = f"in {span(away_s)}" if away_s > 0 else f"{span(-away_s)} ago"
    if abs(away_s) < SOON_S:
        ago = "now"
    return Moment(when.strftime("%Y-%m-%dT%H:%M:%SZ"), when.strftime("%Y-%m-%d %H:%M:%S UTC"), ago)


def span(length_s: float) -> str:
    """A length of time in at most two units: ``240 ms``, ``3.2 s``, ``4 m 10 s``, ``2 d 3 h``."""
    if length_s < 1:
        return f"{max(length_s, 0) * 1000:.0f} ms"
    if length_s < 9.95:
        return f"{length_s:.1f} s"
    left = round(length_s)
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def parse_span(text: str) -> float | None:
    """Seconds of ``90``, ``90s``, ``15m``, ``2h`` or ``1d``; None if it is none of these."""
    text = text.strip().lower().replace(" ", "")
    factor = 1
    for size, unit in _UNITS:
        if text.endswith(unit):
            text, factor = text[:-1], size
            break
    try:
        length_s = float(text) * factor
    except ValueError:
        return None
    return length_s if 0 <= length_s <= 10 * 365 * 86_400 else None


def parse_time(text: str) -> float | None:
    """Seconds since 1970 of ``2026-11-24T03:10`` (taken as UTC unless it says otherwise); None if it is none."""
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
