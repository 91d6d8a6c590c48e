"""Where a saga stands in a trace. Every id follows from what the journal holds, so that whoever resumes a saga goes on
with its trace, and can name the spans of an owner that died with them.
"""

import hashlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace, and whose child the saga is there. ``trace_id`` has 32 digits, ``parent`` 16, or none for a root."""

    trace_id: str
    parent: str
    sampled: bool

    def pack(self) -> bytes:
        """For the journal."""
        return bytes.fromhex(self.trace_id) + bytes.fromhex(self.parent) + bytes([self.sampled])


def unpack(packed: bytes) -> TraceContext | None:
    """What :meth:`TraceContext.pack` made; None for anything else, as of a saga whose caller sent no trace."""
    if len(packed) != _TRACE_BYTES + _SPAN_BYTES + 1:
        return None
    trace, parent = packed[:_TRACE_BYTES], packed[_TRACE_BYTES:-1]
    return TraceContext(trace.hex(), parent.hex(), bool(packed[-1] & 1))


def root(saga_id: UUID) -> TraceContext:
    """The trace of a saga whose call was in none: it has the saga's own id, and is not recorded."""
    return TraceContext(saga_id.hex, "", sampled=False)


def saga_span(saga_id: UUID) -> str:
    """The span of the saga itself: from its start to its end, whoever runs it."""
    return _span(f"{saga_id.hex}/saga")


def attempt_span(saga_id: UUID, step: str, phase: int, attempt: int, epoch: int) -> str:
    """The span of one attempt. After a crash the same attempt is made again under a higher epoch, as another span."""
    return _span(f"{saga_id.hex}/{step}/{phase}/{attempt}/{epoch}")


def went_on_span(saga_id: UUID, at_us: int) -> str:
    """Of a saga that was stuck: from when an operator moved it, until it ended or was stuck again."""
    return _span(f"{saga_id.hex}/saga/{at_us}")


def wait_span(saga_id: UUID, step: str, began_us: int) -> str:
    """The span of a wait for the next attempt of a step; ``step`` is empty for a pause of the saga."""
    return _span(f"{saga_id.hex}/{step}/wait/{began_us}")


def _span(what: str) -> str:
    return hashlib.blake2b(what.encode(), digest_size=_SPAN_BYTES).hexdigest()
