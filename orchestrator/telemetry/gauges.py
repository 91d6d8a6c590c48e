"""What is the case on a node at the moment of a scrape. Asked on the event loop, where the engine's state is whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contracts.traces.export import SpanCounts
from orchestrator.engine.breakers import BreakerState
from orchestrator.engine.figures import Figures
from orchestrator.engine.lanes import ParticipantStatus

_BREAKERS: Final = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 1.0, BreakerState.OPEN: 2.0}


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Of the database connections that statements share."""

    size: int
    """Connections that are open."""
    in_use: int
    limit: int


@dataclass(frozen=True, slots=True)
class Attention:
    """Sagas that want an operator, in the whole store: why, where, how many."""

    kind: str
    definition: str
    step: str
    reason: str
    sagas: int


class Gauges(Collector):
    """Reads the node whenever it is collected."""

    def __init__(
        self,
        figures: Callable[[], Figures],
        pool: Callable[[], PoolUse],
        attention: Callable[[], tuple[Attention, ...] | None],
        *,
        certificate_lapses_at: Callable[[], datetime | None],
        spans: Callable[[], SpanCounts | None],
    ) -> None:
        """``attention`` gives what was last read, None if it is not known, as the others do."""
        self._figures: Final = figures
        self._pool: Final = pool
        self._attention: Final = attention
        self._certificate_lapses_at: Final = certificate_lapses_at
        self._spans: Final = spans

    def describe(self) -> list[Metric]:
        """Nothing: the node may not have begun when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All gauges."""
        figures, pool = self._figures(), self._pool()
        yield _gauge("saga_in_memory", "Sagas in this node's memory.", figures.in_memory)
        yield _gauge("saga_in_memory_limit", "How many there may be.", figures.max_in_memory)
        yield _gauge("saga_to_write", "Sagas that wait for a group commit.", figures.to_write)
        yield _gauge("saga_store_answers", "0 while a commit is repeated without an answer.", figures.store_answers)
        yield _gauge("saga_node_delay_seconds", "How far the node lags behind its callers.", figures.delay_s)
        yield _gauge("saga_lease_left_seconds", "How long the lease still runs.", figures.lease_left_s)
        yield _gauge("saga_node_healthy", "Whether callers should come here.", figures.healthy)
        yield _gauge("saga_pool_connections", "Database connections that statements share.", pool.size)
        yield _gauge("saga_pool_in_use", "Of these, in use.", pool.in_use)
        yield _gauge("saga_pool_limit", "How many there may be.", pool.limit)
        yield from _of_participants(figures.participants)
        lapses_at = self._certificate_lapses_at()
        if lapses_at is not None:
            what = "When the node's certificate lapses, Unix time."
            yield _gauge("saga_certificate_lapses_timestamp_seconds", what, lapses_at.timestamp())
        spans = self._spans()
        if spans is not None:
            yield _of_spans(spans)
        attention = self._attention()
        if attention is not None:
            yield _of_attention(attention)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))


def _of_participants(participants: tuple[ParticipantStatus, ...]) -> Iterator[Metric]:
    told: tuple[tuple[str, str, Callable[[ParticipantStatus], float]], ...] = (
        ("saga_participant_in_flight", "Calls in flight.", lambda p: p.in_flight),
        ("saga_participant_queued", "Calls that wait for their turn.", lambda p: p.queued),
        ("saga_participant_blocked", "Steps in memory that wait for the participant.", lambda p: p.blocked),
        ("saga_participant_breaker", "0 closed, 1 half open, 2 open.", lambda p: _BREAKERS[p.breaker]),
        ("saga_participant_held", "1 while operators hold its calls back.", lambda p: p.held),
    )
    for name, what, value in told:
        family = GaugeMetricFamily(name, what, labels=("service",))
        for participant in participants:
            family.add_metric((participant.service,), float(value(participant)))
        yield family


def _of_spans(spans: SpanCounts) -> Metric:
    family = CounterMetricFamily("saga_spans", "Spans of traces, by what became of them.", labels=("end",))
    for end, number in (("sent", spans.sent), ("lost", spans.lost), ("dropped", spans.dropped)):
        family.add_metric((end,), float(number))
    return family


def _of_attention(attention: tuple[Attention, ...]) -> Metric:
    what = "Sagas of the whole store that want an operator, as last counted."
    family = GaugeMetricFamily("saga_attention", what, labels=("kind", "definition", "step", "reason"))
    for each in attention:
        family.add_metric((each.kind, each.definition, each.step, each.reason), float(each.sagas))
    return family
