"""Sends the metrics to an OpenTelemetry collector, every so often: the same that Prometheus would be answered."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as OtlpMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.samples import Sample

log = structlog.get_logger(__name__)

CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_SCOPE: Final = InstrumentationScope("orchestrator")
_LEFT_OUT: Final = ("_created",)


def convert(metrics: Iterable[Metric], resource: Resource, began_ns: int, now_ns: int) -> MetricsData:
    """What the registry holds, for OTLP. All of it is cumulative since ``began_ns``, Unix time."""
    converted = [_metric(metric, began_ns, now_ns) for metric in metrics if metric.samples]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(_SCOPE, converted, "")], "")])


def _metric(metric: Metric, began_ns: int, now_ns: int) -> OtlpMetric:
    samples = [sample for sample in metric.samples if not sample.name.endswith(_LEFT_OUT)]
    if metric.type == "histogram":
        data: Histogram | Sum | Gauge = Histogram(_histograms(samples, began_ns, now_ns), CUMULATIVE)
    else:
        points = [NumberDataPoint(dict(each.labels), began_ns, now_ns, each.value) for each in samples]
        data = Sum(points, CUMULATIVE, is_monotonic=True) if metric.type == "counter" else Gauge(points)
    return OtlpMetric(metric.name, metric.documentation, metric.unit, data)


def _histograms(samples: Sequence[Sample], began_ns: int, now_ns: int) -> list[HistogramDataPoint]:
    series: dict[tuple[tuple[str, str], ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        series[tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))].append(sample)
    return [_histogram(dict(labels), found, began_ns, now_ns) for labels, found in series.items()]


def _histogram(labels: dict[str, str], samples: list[Sample], began_ns: int, now_ns: int) -> HistogramDataPoint:
    bounds: list[float] = []
    counts: list[int] = []
    total, below = 0.0, 0
    for sample in samples:
        if sample.name.endswith("_bucket"):  # in order, each with all that is below it
            bounds.append(float(sample.labels["le"]))
            counts.append(int(sample.value) - below)
            below = int(sample.value)
        elif sample.name.endswith("_sum"):
            total = sample.value
    return HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=began_ns,
        time_unix_nano=now_ns,
        count=below,
        sum=total,
        bucket_counts=counts,
        explicit_bounds=bounds[:-1],  # the last is infinity
        min=0.0,
        max=0.0,
    )


class MetricsPush:
    """Sends every ``interval_s``, and once more at the end. A collector that is away costs what it would have shown."""

    def __init__(
        self, exporter: MetricExporter, registry: CollectorRegistry, resource: Resource, *, interval_s: float
    ) -> None:
        self._exporter: Final = exporter
        self._registry: Final = registry
        self._resource: Final = resource
        self._interval_s: Final = interval_s
        self._began_ns: Final = time.time_ns()
        self._task: asyncio.Task[None] | None = None
        self._fails = False

    def start(self) -> None:
        """Begins to send. May be called twice."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Sends once more, and ends. May be called twice, and without a start."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.push()
        await asyncio.to_thread(self._exporter.shutdown, 1000)

    async def push(self) -> bool:
        """Sends what is the case now; False if the collector did not take it, or a defect kept it from being sent."""
        try:
            data = convert(list(self._registry.collect()), self._resource, self._began_ns, time.time_ns())
            fails = await asyncio.to_thread(self._exporter.export, data) is not MetricExportResult.SUCCESS
        except Exception:
            log.exception("metrics_defect")
            fails = True
        if fails and not self._fails:
            log.warning("metrics_not_sent", what="the collector does not take them; they are sent again, as they are")
        self._fails = fails
        return not fails

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.push()
