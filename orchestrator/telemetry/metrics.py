"""A node's metrics: what happened, counted as it happens. What is the case at a moment is in :mod:`.gauges`.

Recorded with Prometheus' own client, whose counters cost a tenth of what the OpenTelemetry SDK's do; OTLP is sent from
the same registry (:mod:`.metrics_push`). Every label has few values (:mod:`.labels`).
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from orchestrator.core.effects import Invoke
from orchestrator.core.inputs import AttemptEnded, Input, StepSettled
from orchestrator.core.state import SagaStatus
from orchestrator.engine.breakers import BreakerState
from orchestrator.engine.observing import Observer
from orchestrator.engine.run import SagaRun
from orchestrator.telemetry.labels import Reasons

SAGA_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)
CALL_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
COMMIT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
COMMIT_SAGAS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics(Observer):
    """Counts for one node. The label sets that the loaded definitions can give are made once and kept."""

    def __init__(self, registry: CollectorRegistry, reasons: Reasons) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=registry)

        def histogram(name: str, what: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, what, labels, buckets=bounds, registry=registry)

        self._started: Final = counter("saga_started", "Sagas that became durable.", "definition")
        self._halted: Final = counter(
            "saga_halted", "Sagas that ended or got stuck, by the state they reached.", "definition", "state"
        )
        self._duration: Final = histogram(
            "saga_duration_seconds", "From the start to the end.", SAGA_S, "definition", "state"
        )
        self._stuck: Final = counter("saga_stuck", "Sagas that got stuck, by cause.", "definition", "step", "reason")
        self._resumed: Final = counter("saga_resumed", "Sagas taken into memory again.", "crashed")
        self._attempts: Final = counter(
            "saga_attempts", "Calls of participants that ended.", "definition", "step", "phase", "outcome"
        )
        self._calls: Final = histogram(
            "saga_call_duration_seconds", "Calls of participants.", CALL_S, "service", "method", "outcome"
        )
        self._waits: Final = counter(
            "saga_waits", "Steps that began to wait, for another attempt or blocked.", "definition", "step", "kind"
        )
        self._breaker: Final = counter("saga_breaker_turns", "A breaker opened or closed.", "service", "state")
        self._commit_s: Final = histogram("saga_commit_duration_seconds", "Group commits.", COMMIT_S)
        self._commit_sagas: Final = histogram("saga_commit_sagas", "Sagas in a group commit.", COMMIT_SAGAS)
        self._refused: Final = counter("saga_starts_refused", "Starts that were turned away for want of room.", "why")
        self._claimed: Final = counter("saga_claimed", "Sagas that this node claimed.")
        self._fenced_nodes: Final = counter("saga_nodes_fenced", "Other nodes that this node declared dead.")
        self._lease_s: Final = histogram("saga_lease_renewal_seconds", "Renewals of the lease.", COMMIT_S)
        self._lease_failed: Final = counter("saga_lease_renewals_failed", "Renewals that were not answered.")
        self._fenced: Final = counter("saga_lease_lost", "This node was declared dead and joined anew.")
        self._reasons: Final = reasons
        self._attempt_children: Final[dict[tuple[object, ...], tuple[Counter, Histogram]]] = {}

    def saga_started(self, run: SagaRun) -> None:
        """See :class:`Observer`, as below."""
        self._started.labels(run.definition.label).inc()

    def saga_resumed(self, run: SagaRun, *, crashed: bool) -> None:
        self._resumed.labels(str(crashed).lower()).inc()

    def saga_halted(self, run: SagaRun, at_us: int) -> None:
        definition, state = run.definition.label, run.durable_status.name
        self._halted.labels(definition, state).inc()
        if run.durable_status is SagaStatus.STUCK:
            failed = run.state.failed_step
            reason = run.state.failure.reason if run.state.failure else ""
            self._stuck.labels(
                definition, "" if failed is None else run.names[failed], self._reasons.bounded(reason)
            ).inc()
        else:
            began_s = (run.saga_id.int >> 80) / 1000  # a UUIDv7 begins with its milliseconds
            self._duration.labels(definition, state).observe(max(0.0, at_us / 1e6 - began_s))

    def waiting(self, run: SagaRun, step: int, until_us: int) -> None:
        kind = "blocked" if run.state.steps[step].blocked else "backoff"
        self._waits.labels(run.definition.label, run.names[step], kind).inc()

    def attempt_ended(
        self, run: SagaRun, invoke: Invoke, path: str, *, began_us: int, duration_s: float, told: Input | None
    ) -> None:
        outcome = _outcome(told)
        key = (run.definition.digest, invoke.step, invoke.phase, outcome)
        children = self._attempt_children.get(key)
        if children is None:
            service, _, method = path[1:].rpartition("/")
            names = run.definition.label, run.names[invoke.step], invoke.phase.name.lower(), outcome
            children = self._attempts.labels(*names), self._calls.labels(service, method, outcome)
            self._attempt_children[key] = children
        children[0].inc()
        children[1].observe(duration_s)

    def committed(self, sagas: int, duration_s: float) -> None:
        self._commit_s.observe(duration_s)
        self._commit_sagas.observe(sagas)

    def start_refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def claimed(self, sagas: int) -> None:
        self._claimed.inc(sagas)

    def nodes_fenced(self, nodes: int) -> None:
        self._fenced_nodes.inc(nodes)

    def lease_renewed(self, duration_s: float) -> None:
        self._lease_s.observe(duration_s)

    def lease_failed(self) -> None:
        self._lease_failed.inc()

    def fenced(self) -> None:
        self._fenced.inc()

    def breaker_turned(self, service: str, state: BreakerState) -> None:
        self._breaker.labels(service, state.name).inc()


def _outcome(told: Input | None) -> str:
    if isinstance(told, AttemptEnded):
        return told.outcome.name
    if isinstance(told, StepSettled):
        return "SUCCESS"
    return "CUT_SHORT" if told is None else "DEFECT"
