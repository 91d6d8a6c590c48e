"""Values as people read and write them: states, times, spans."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from typer import BadParameter

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MAX_SPAN_S: Final = 100 * 366 * 86_400.0


def word(enum: EnumDescriptor, number: int) -> str:
    """``STUCK`` for ``SAGA_STATE_STUCK``, empty for the unset value, the number for one of a newer contract."""
    value = enum.values_by_number.get(number)
    if value is None:
        return str(number)
    return "" if number == 0 else value.name.removeprefix(_prefix(enum))


def words(enum: EnumDescriptor) -> list[str]:
    """Every word of an enumeration, as options take them: ``stuck``, ``retry-compensation``."""
    return [_option(word(enum, each.number)) for each in enum.values if each.number]


def number_of(enum: EnumDescriptor, text: str) -> int:
    """The number of a word, in any case. Raises ``typer.BadParameter``."""
    found = enum.values_by_name.get(_prefix(enum) + text.upper().replace("-", "_"))
    if found is None or found.number == 0:
        raise BadParameter(f"{text!r} is none of {', '.join(words(enum))}")
    return found.number


def _prefix(enum: EnumDescriptor) -> str:
    return enum.values_by_number[0].name.removesuffix("UNSPECIFIED")


def _option(name: str) -> str:
    return name.lower().replace("_", "-")


def parse_span(text: str) -> timedelta:
    """``90s``, ``10m``, ``1h30m``, ``3d``. Raises ``typer.BadParameter``."""
    parts = _SPAN.findall(text)
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != text or seconds > _MAX_SPAN_S:
        raise BadParameter(f"{text!r} is no span of time: write 90s, 10m, 1h30m or 3d")
    return timedelta(seconds=seconds)


def parse_time(text: str) -> datetime:
    """An ISO 8601 time (UTC unless it says otherwise), or a span ago such as ``2h``. Raises ``typer.BadParameter``."""
    if _SPAN.match(text):
        return datetime.now(UTC) - parse_span(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadParameter(f"{text!r} is no time: write 2026-05-01T08:30:00Z, or a span ago such as 2h") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def is_set(time: Timestamp) -> bool:
    """Whether a time was given at all."""
    return bool(time.seconds or time.nanos)


def clock(time: Timestamp) -> str:
    """UTC to the second; empty if unset."""
    moment = _moment(time)
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def age(time: Timestamp, now: datetime) -> str:
    """How long ago: ``42s``, ``12m``, ``3h12m``, ``5d4h``; ``in 42s`` for times to come; empty if unset."""
    moment = _moment(time)
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    return span(seconds) if seconds >= 0 else f"in {span(-seconds)}"


def ago(time: Timestamp, now: datetime) -> str:
    """``12m ago``, ``in 42s``; empty if unset."""
    text = age(time, now)
    return f"{text} ago" if text and not text.startswith("in ") else text


def _moment(time: Timestamp) -> datetime | None:
    try:
        return time.ToDatetime(tzinfo=UTC) if is_set(time) else None
    except (ValueError, OverflowError):
        return None


def span(seconds: float) -> str:
    """At most two units of a span of time."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for name, size, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{name}" + (f"{rest}{smaller}" if rest else "")
    return f"{whole}s"


def took(duration: Duration) -> str:
    """A duration as a span; empty if unset."""
    return span(duration.seconds + duration.nanos / 1e9) if duration.seconds or duration.nanos else ""


def many(count: int, noun: str) -> str:
    """``1 saga``, ``1,234 sagas``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
