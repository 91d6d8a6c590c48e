"""What the registry holds arrives at a collector as it is."""

import asyncio
from concurrent import futures
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as pb_grpc
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from orchestrator.telemetry.metrics_push import MetricsPush


class Collector(pb_grpc.MetricsServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[pb.ExportMetricsServiceRequest] = []

    def Export(self, request: pb.ExportMetricsServiceRequest, context: Any) -> pb.ExportMetricsServiceResponse:  # noqa: N802  (the contract's name)
        self.sent.append(request)
        return pb.ExportMetricsServiceResponse()


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    started = Counter("saga_started", "Started.", ["definition"], registry=registry)
    started.labels("a v1").inc(3)
    Gauge("saga_in_memory", "In memory.", registry=registry).set(7)
    took = Histogram("saga_call_seconds", "Calls.", ["method"], buckets=(0.1, 1), registry=registry)
    for seconds in (0.05, 0.5, 0.6, 5):
        took.labels("m").observe(seconds)
    return registry


def _push(port: int, registry: CollectorRegistry, **more: Any) -> MetricsPush:
    exporter = OTLPMetricExporter(f"http://127.0.0.1:{port}", insecure=True, timeout=more.pop("timeout", 10))
    return MetricsPush(exporter, registry, Resource({"service.name": "x"}), interval_s=more.pop("interval_s", 60))


@pytest.fixture
def collector() -> Any:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    kept = Collector()
    pb_grpc.add_MetricsServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]  # has no stubs
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept, port
    server.stop(0).wait()


async def test_each_kind_arrives(collector: tuple[Collector, int]) -> None:
    kept, port = collector
    push = _push(port, _registry())
    assert await push.push()
    metrics = {m.name: m for m in kept.sent[0].resource_metrics[0].scope_metrics[0].metrics}
    total = metrics["saga_started"].sum
    assert total.is_monotonic
    assert [(p.as_double, p.attributes[0].value.string_value) for p in total.data_points] == [(3.0, "a v1")]
    assert metrics["saga_in_memory"].gauge.data_points[0].as_double == 7.0
    point = metrics["saga_call_seconds"].histogram.data_points[0]
    assert (list(point.bucket_counts), list(point.explicit_bounds)) == ([1, 2, 1], [0.1, 1.0])
    assert point.count == 4
    assert point.sum == pytest.approx(6.15)
    await push.stop()


async def test_it_is_sent_again_and_again_and_at_the_end(collector: tuple[Collector, int]) -> None:
    kept, port = collector
    push = _push(port, _registry(), interval_s=0.01)
    push.start()
    async with asyncio.timeout(20):
        while len(kept.sent) < 2:  # noqa: ASYNC110  (the collector's thread has no signal of this loop's)
            await asyncio.sleep(0.01)
    await push.stop()
    await push.stop()
    assert len(kept.sent) >= 3


async def test_a_collector_that_is_away_costs_nothing_but_its_metrics() -> None:
    push = _push(1, _registry(), timeout=0.2)
    assert not await push.push()
