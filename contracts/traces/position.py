"""Where a piece of work stands in a trace: W3C Trace Context, read off the metadata of a call."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from contracts.metadata import TRACEPARENT

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_SAMPLED: Final = 1
_FIRST_VERSION: Final = "00"
_NO_VERSION: Final = "ff"


@dataclass(frozen=True, slots=True)
class Position:
    """A span of a trace; both ids in lower-case hexadecimal, 32 and 16 digits."""

    trace_id: str
    span_id: str
    sampled: bool


def parse(traceparent: str) -> Position | None:
    """None for anything that is no trace context; a later version counts for what it shares with the first."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[1] == _NO_VERSION or (match[5] and match[1] == _FIRST_VERSION):
        return None
    if match[2] == _NO_TRACE or match[3] == _NO_SPAN:
        return None
    return Position(match[2], match[3], bool(int(match[4], 16) & _SAMPLED))


def position_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> Position | None:
    """Where the caller stands; None if it does not say."""
    for key, value in metadata or ():
        if key == TRACEPARENT:
            return parse(value) if isinstance(value, str) else None
    return None
