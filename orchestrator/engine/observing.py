"""What the engine tells of its work, for metrics and traces. :mod:`orchestrator.telemetry` implements it.

Everything here is called on the event loop in the middle of the engine's work: it returns at once and never raises.
Nothing of a payload is told.
"""

from collections.abc import Iterable

from orchestrator.core.effects import Invoke
from orchestrator.core.events import Event
from orchestrator.core.inputs import Input
from orchestrator.engine.breakers import BreakerState
from orchestrator.engine.run import SagaRun
from orchestrator.engine.stored import StoredSaga


class Observer:
    """Told what happened, once it is durable where that matters. By itself it does nothing with it."""

    def saga_started(self, run: SagaRun) -> None:
        """A new saga is durable."""

    def saga_resumed(self, run: SagaRun, *, crashed: bool) -> None:
        """A saga is in this node's memory again; ``crashed``: the owner before died with it."""

    def saga_halted(self, run: SagaRun, at_us: int) -> None:
        """A saga ended, or is stuck: see ``run.durable_status`` and ``run.state``. ``at_us`` is database time."""

    def saga_given_up(self, stored: StoredSaga, reason: str, at_us: int) -> None:
        """A saga is stuck that this program cannot even take into memory. ``stored`` is how it was before."""

    def recalled(self, run: SagaRun, journal: Iterable[tuple[Event, int, int]]) -> None:
        """A traced saga is in this node's memory again: its events with their times and epochs, the first one first."""

    def happened(self, run: SagaRun, event: Event, at_us: int) -> None:
        """A traced saga moved. The event is not durable yet: what depends on that waits for :meth:`saga_halted`."""

    def waiting(self, run: SagaRun, step: int, until_us: int) -> None:
        """A step waits by itself until ``until_us``, database time: for its next attempt, or blocked."""

    def attempt_ended(
        self,
        run: SagaRun,
        invoke: Invoke,
        path: str,
        *,
        began_us: int,
        duration_s: float,
        told: Input | None,
    ) -> None:
        """An RPC to a participant ended. ``path`` is its method, ``began_us`` database time. ``told`` is what the core
        hears of it, None if the attempt was cut short; the message of a failure in it is the participant's own text.
        """

    def committed(self, sagas: int, duration_s: float) -> None:
        """A batch was answered, retries included."""

    def start_refused(self, reason: str) -> None:
        """A start was turned away for want of room: ``reason`` is one of a few words."""

    def claimed(self, sagas: int) -> None:
        """Sagas that nobody ran belong to this node now."""

    def nodes_fenced(self, nodes: int) -> None:
        """Other nodes were declared dead."""

    def lease_renewed(self, duration_s: float) -> None:
        """The lease was renewed; the renewal took so long."""

    def lease_failed(self) -> None:
        """A renewal was not answered."""

    def fenced(self) -> None:
        """This node was declared dead, and joins anew."""

    def breaker_turned(self, service: str, state: BreakerState) -> None:
        """The breaker of a participant opened or closed."""
