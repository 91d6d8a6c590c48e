"""All that tells a collector of a node's work: its callers' RPCs, and its sagas."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, Self

from contracts.following import Follower
from contracts.traces.export import SpanCounts, Spans
from contracts.traces.server import ServerSpans
from contracts.traces.settings import TraceSettings
from orchestrator.telemetry.traces import Traces

SERVICE: Final = "saga-orchestrator"


class _Target(Protocol):
    @property
    def address(self) -> str: ...


class NodeTraces:
    """Made before the engine, which its ``observer`` is for, and the server, which takes its ``interceptor``."""

    def __init__(self, spans: Spans, ratio: float, targets: Mapping[str, Sequence[_Target]]) -> None:
        """``ratio`` of the calls are traced whose callers do not say."""
        self._spans: Final = spans
        addresses = {service: several[0].address for service, several in targets.items() if len(several) == 1}
        self.observer: Final = Traces(spans, addresses)
        self.interceptor: Final = ServerSpans(spans, ratio)

    @classmethod
    def of(
        cls, settings: TraceSettings, node_name: str, targets: Mapping[str, Sequence[_Target]], follower: Follower
    ) -> Self | None:
        """As the settings say; None if there are to be no traces."""
        spans = settings.spans(SERVICE, node_name, follower)
        return None if spans is None else cls(spans, settings.traces_ratio, targets)

    @property
    def counts(self) -> SpanCounts:
        """What became of the spans so far."""
        return self._spans.counts

    async def stop(self) -> None:
        """Sends what waits, for a bounded while. May be called twice."""
        await self._spans.stop()
