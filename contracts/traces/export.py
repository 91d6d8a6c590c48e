"""Spans on their way to an OpenTelemetry collector. Nothing here waits for that: what it does not take is lost."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

_log = structlog.get_logger(__name__)

Attributes: TypeAlias = Mapping[str, str | int | bool]

MAX_BATCH_SPANS: Final = 512
_REPORT_EVERY_S: Final = 30.0
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_FAILED: Final = Status(StatusCode.ERROR)
_UNSET: Final = Status(StatusCode.UNSET)
_SCOPE: Final = InstrumentationScope("saga")

# The exporter tells of every single try; what comes of the batch is told once, and by us.
logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """What became of the spans so far."""

    sent: int
    """The collector took them."""
    lost: int
    """They were sent, and it did not."""
    dropped: int
    """The queue was full."""


class Spans:
    """Takes spans that are over, and sends them in the background. :meth:`add` costs the caller no waiting, ever."""

    def __init__(
        self, exporter: SpanExporter, resource: Resource, *, max_queued: int, interval_s: float, stop_timeout_s: float
    ) -> None:
        """``max_queued`` spans wait at the most; ``interval_s``: how long a batch gathers; ``stop_timeout_s``: how long
        :meth:`stop` tries to send what is left.
        """
        self._resource: Final = resource
        self._exporter: Final = _Counting(exporter)
        self._max_queued: Final = max_queued
        self._stop_timeout_s: Final = stop_timeout_s
        self._processor: Final = BatchSpanProcessor(
            self._exporter,
            max_queue_size=max_queued + 1,  # never full: what it drops it does not count
            schedule_delay_millis=interval_s * 1000,
            max_export_batch_size=min(MAX_BATCH_SPANS, max_queued),
        )
        self._added = 0
        self._dropped = 0
        self._stopping: asyncio.Task[None] | None = None

    @property
    def counts(self) -> SpanCounts:
        """May be called at any time."""
        return SpanCounts(self._exporter.sent, self._exporter.lost, self._dropped)

    def add(
        self,
        name: str,
        *,
        trace_id: str,
        span_id: str,
        parent_id: str,
        kind: SpanKind,
        began_ns: int,
        ended_ns: int,
        attributes: Attributes,
        failed: bool = False,
        events: Sequence[Event] = (),
        links: Sequence[str] = (),
    ) -> None:
        """A span that is over. ``parent_id`` is empty for a root; times are Unix; ``links`` are spans of its trace."""
        if self._added - self._exporter.taken >= self._max_queued:
            self._dropped += 1
            self._exporter.dropped = self._dropped
            return
        self._added += 1
        trace = int(trace_id, 16)
        self._processor.on_end(
            ReadableSpan(
                name,
                SpanContext(trace, int(span_id, 16), is_remote=False, trace_flags=_SAMPLED),
                _context(trace, parent_id) if parent_id else None,
                self._resource,
                attributes,
                events,
                [Link(_context(trace, link)) for link in links],
                kind,
                status=_FAILED if failed else _UNSET,
                start_time=began_ns,
                end_time=max(began_ns, ended_ns),
                instrumentation_scope=_SCOPE,
            )
        )

    async def use(self, exporter: SpanExporter) -> None:
        """Sends by another exporter from now on: that of renewed certificates."""
        await asyncio.to_thread(self._exporter.replace(exporter).shutdown)

    async def stop(self) -> None:
        """Sends what waits, for a bounded while, and gives up the rest. May be called twice."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        closing = asyncio.create_task(asyncio.to_thread(self._processor.shutdown))
        _, late = await asyncio.wait([closing], timeout=self._stop_timeout_s)
        if late:
            # Ends the call in flight and the waits between tries; the processor then finds its exporter closed.
            await asyncio.to_thread(self._exporter.shutdown)
            await closing
        self._exporter.report()


def _context(trace: int, span_id: str) -> SpanContext:
    return SpanContext(trace, int(span_id, 16), is_remote=True, trace_flags=_SAMPLED)


class _Counting(SpanExporter):
    """Counts what becomes of spans, and says in the log, every so often, that some were lost."""

    def __init__(self, exporter: SpanExporter, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._exporter = exporter
        self._monotonic_s: Final = monotonic_s
        self._is_closed = False
        self._reported = 0
        self._reported_s = -_REPORT_EVERY_S
        self.taken = 0
        self.sent = 0
        self.lost = 0
        self.dropped = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Runs in the processor's thread, one call at a time."""
        self.taken += len(spans)
        result = SpanExportResult.FAILURE if self._is_closed else self._export(spans)
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
        else:
            self.lost += len(spans)
        if not self._is_closed and self._monotonic_s() - self._reported_s >= _REPORT_EVERY_S:
            self.report()
        return result

    def _export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            return self._exporter.export(spans)
        except Exception as error:
            _log.error("span_export_defect", error=type(error).__qualname__)
            return SpanExportResult.FAILURE

    def report(self) -> None:
        """Says what was lost since the last time, if anything was."""
        missing = self.lost + self.dropped
        if missing > self._reported:
            _log.warning("spans_lost", count=missing - self._reported, lost=self.lost, dropped=self.dropped)
            self._reported, self._reported_s = missing, self._monotonic_s()

    def replace(self, exporter: SpanExporter) -> SpanExporter:
        """Returns the one that was used until now."""
        old, self._exporter = self._exporter, exporter
        return old

    def shutdown(self) -> None:
        """May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._exporter.shutdown()
