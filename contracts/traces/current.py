"""The RPC that is being served, if it is traced: what handlers may tell of it."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from contracts.traces.position import Position

if TYPE_CHECKING:  # the SDK costs a start that needs no traces a quarter of a second
    from opentelemetry.trace import SpanKind

    from contracts.traces.export import Spans


class ServerSpan:
    """An RPC that is being served and is traced. Handlers add attributes, never of a payload."""

    __slots__ = ("attributes", "began_ns", "parent_id", "span_id", "spans", "trace_id")

    def __init__(self, spans: "Spans", caller: Position | None) -> None:
        self.spans: Final = spans
        self.trace_id: Final = new_id(16) if caller is None else caller.trace_id
        self.parent_id: Final = "" if caller is None else caller.span_id
        self.span_id: Final = new_id(8)
        self.began_ns: Final = time.time_ns()
        self.attributes: Final[dict[str, str | int | bool]] = {}

    @contextmanager
    def child(
        self,
        name: str,
        kind: "SpanKind",
        attributes: dict[str, str | int | bool],
        fails: Callable[[BaseException], bool],
    ) -> Iterator[None]:
        """A span below this one, for as long as the block runs; ``fails`` says whether what it raises is a failure."""
        began_ns, failed = time.time_ns(), False
        try:
            yield
        except BaseException as error:
            failed = fails(error)
            raise
        finally:
            self.spans.add(
                name,
                trace_id=self.trace_id,
                span_id=new_id(8),
                parent_id=self.span_id,
                kind=kind,
                began_ns=began_ns,
                ended_ns=time.time_ns(),
                attributes=attributes,
                failed=failed,
            )


CURRENT: Final[ContextVar[ServerSpan | None]] = ContextVar("server_span", default=None)
"""Of the RPC that this task serves; None if it is not traced."""


def new_id(size: int) -> str:
    """A random id of so many bytes, in hexadecimal, and not zero."""
    return f"{random.getrandbits(8 * size) or 1:0{2 * size}x}"
