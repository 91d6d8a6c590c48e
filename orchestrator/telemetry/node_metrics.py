"""All metrics of a node, put together: what counts, what is asked at a scrape, and where it goes."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import grpc
import structlog
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from contracts.following import Follower
from contracts.tls import ServerTls
from contracts.traces.export import SpanCounts
from orchestrator.engine.engine import Engine
from orchestrator.operations.ports import OperatorStore
from orchestrator.operations.values import AttentionKind, AttentionPolicy, Selection, Tally
from orchestrator.telemetry.attention import AttentionCount
from orchestrator.telemetry.gauges import Attention, Gauges, PoolUse
from orchestrator.telemetry.labels import Reasons
from orchestrator.telemetry.metrics import Metrics
from orchestrator.telemetry.metrics_push import MetricsPush
from orchestrator.telemetry.metrics_server import MetricsServer
from orchestrator.telemetry.rpc_metrics import RpcMetrics

log = structlog.get_logger(__name__)

SEND_S: Final = 10.0
"""The longest that one sending may take."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where metrics go. Empty is nowhere."""

    listen_address: str = ""
    """Where Prometheus scrapes."""
    scrape_tls: ServerTls | None = None
    otlp_endpoint: str = ""
    """Of an OpenTelemetry collector, such as ``http://127.0.0.1:4317``; https trusts this file, or the system."""
    otlp_ca_file: str = ""
    interval_s: float = 15.0
    """How often metrics are sent there."""
    attention_interval_s: float = 30.0
    """How often the sagas of the whole store that want an operator are counted, by one statement."""

    @property
    def wanted(self) -> bool:
        """Whether anybody is told."""
        return bool(self.listen_address or self.otlp_endpoint)


class NodeMetrics:
    """Made before the engine, which it observes; :meth:`attach` afterwards. ``start`` and ``stop`` in that order."""

    def __init__(self, settings: MetricsSettings, node_name: str, follower: Follower | None = None) -> None:
        """``follower`` tells when files of TLS were renewed. Raises ``TlsFileError``."""
        self._settings: Final = settings
        self._node_name: Final = node_name
        self._registry: Final = CollectorRegistry()
        self._reasons: Final = Reasons()
        self.observer: Final = Metrics(self._registry, self._reasons)
        self.interceptor: Final = RpcMetrics(self._registry)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._server: Final = (
            MetricsServer(settings.listen_address, self._registry, settings.scrape_tls, follower)
            if settings.listen_address
            else None
        )
        self._push: MetricsPush | None = None
        self._attention: AttentionCount | None = None
        self.url = ""

    def attach(
        self,
        engine: Engine,
        store: OperatorStore,
        policy: AttentionPolicy,
        pool_use: Callable[[], tuple[int, int, int]],
        *,
        certificate_lapses_at: Callable[[], datetime | None],
        spans: Callable[[], SpanCounts | None],
    ) -> None:
        """Has the gauges read this engine and store."""

        async def count() -> tuple[Attention, ...]:
            return self._wanted(await store.tally(Selection(live=True), policy))

        self._attention = AttentionCount(count, time.monotonic, interval_s=self._settings.attention_interval_s)
        gauges = Gauges(
            engine.figures,
            lambda: PoolUse(*pool_use()),
            self._attention.known,
            certificate_lapses_at=certificate_lapses_at,
            spans=spans,
        )
        self._registry.register(gauges)

    async def start(self) -> None:
        """Serves and sends. Raises ``HttpAddressError``."""
        if self._server is not None:
            self.url = await self._server.start()
            log.info("metrics", url=self.url)
        if self._settings.otlp_endpoint:
            self._push = self._make_push()
            self._push.start()
        if self._attention is not None:
            self._attention.start()

    async def stop(self) -> None:
        """Sends once more, and ends. May be called twice."""
        if self._attention is not None:
            await self._attention.stop()
        if self._push is not None:
            await self._push.stop()
        if self._server is not None:
            await self._server.stop()

    def _make_push(self) -> MetricsPush:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415  (most nodes never need it)
            OTLPMetricExporter,
        )

        settings = self._settings
        ca = Path(settings.otlp_ca_file).read_bytes() if settings.otlp_ca_file else None
        insecure = not settings.otlp_endpoint.startswith("https")
        exporter = OTLPMetricExporter(
            settings.otlp_endpoint,
            insecure=insecure,
            credentials=None if insecure else grpc.ssl_channel_credentials(ca),
            timeout=min(SEND_S, settings.interval_s),
        )
        resource = Resource.create({"service.name": "saga-orchestrator", "service.instance.id": self._node_name})
        return MetricsPush(exporter, self._registry, resource, interval_s=settings.interval_s)

    def _wanted(self, tally: Tally) -> tuple[Attention, ...]:
        found: Counter[tuple[str, str, str, str]] = Counter()
        for group in tally.groups:
            if group.attention is not AttentionKind.NONE:
                definition = f"{group.definition} v{group.version}"
                reason = self._reasons.bounded(group.reason)
                found[group.attention.name, definition, group.step, reason] += group.sagas
        return tuple(Attention(*cause, sagas) for cause, sagas in found.items())
