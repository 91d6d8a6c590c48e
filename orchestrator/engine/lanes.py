"""How many calls a participant gets at a time, and which wait. Pure: one participant's trouble stays in its lane."""

from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

from orchestrator.core.effects import Invoke
from orchestrator.core.state import StepState
from orchestrator.engine.breakers import Breaker, BreakerPolicy, BreakerState
from orchestrator.engine.run import SagaRun

Ticket = tuple[SagaRun, Invoke]


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """Bounds of each participant's lane."""

    max_calls: int = 128
    """Calls in flight from this node; more wait in the order in which they came."""
    max_queued: int = 256
    """From so many waiting calls on no saga is started that needs the participant. Those under way still queue."""
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


@dataclass(frozen=True, slots=True)
class ParticipantStatus:
    """How one participant fares, as this node sees it."""

    service: str
    breaker: BreakerState
    held: bool
    """An operator holds its calls back."""
    in_flight: int
    queued: int
    """Calls that wait for one of those in flight to end."""
    blocked: int
    """Steps of sagas in memory that are blocked until the breaker closes, or the hold is released."""
    recent_calls: int
    """Calls that ended lately."""
    failure_share: float
    """Of these."""
    opens: int
    """How often the breaker has opened."""
    probe_in_s: float | None
    """How long until an open breaker lets calls through again."""


class Lane:
    """The calls of one participant service. ``queue`` and ``blocked`` are bounded by the sagas in memory."""

    def __init__(self, service: str, policy: LanePolicy) -> None:
        self.service = service
        self.held = False
        self.in_flight = 0
        self.breaker = Breaker(policy.breaker)
        self.probe_s: float | None = None
        """When the open breaker lets calls through again, by the node's monotonic clock."""
        self.queue: OrderedDict[tuple[UUID, int], Ticket] = OrderedDict()
        self.blocked: OrderedDict[tuple[UUID, int], Ticket] = OrderedDict()
        self._policy = policy
        self._limit = policy.max_calls

    @property
    def is_shut(self) -> bool:
        """Whether a call that cannot be issued now is blocked, and not queued."""
        return self.held or self.breaker.state is not BreakerState.CLOSED

    @property
    def is_crowded(self) -> bool:
        """Whether those who wait are enough."""
        return len(self.queue) >= self._policy.max_queued

    @property
    def room(self) -> int:
        """How many more calls may be issued now."""
        if self.held:
            return 0
        if self.breaker.state is BreakerState.CLOSED:
            return self._limit - self.in_flight
        return self.breaker.probes_left

    def begin(self) -> int:
        """A call is issued; returns what :meth:`end` wants to know."""
        self.in_flight += 1
        return self.breaker.begin()

    def end(self, generation: int, now_s: float, *, failed: bool | None) -> None:
        """A call ended; ``failed`` is None if it was cut short."""
        self.in_flight -= 1
        state = self.breaker.state
        self.breaker.end(generation, now_s, failed=failed)
        if self.breaker.state is not state:
            # Whoever comes back is not greeted by all who waited: as many calls as there were probes, and with each
            # success one more.
            self._limit = min(self._policy.breaker.probes, self._policy.max_calls)
        elif failed is False and self._limit < self._policy.max_calls:
            self._limit += 1

    def release(self) -> None:
        """The hold ends: its calls begin again gradually."""
        if self.held:
            self.held = False
            self._limit = min(self._policy.breaker.probes, self._policy.max_calls)

    def forget(self, run: SagaRun) -> None:
        """The saga left memory."""
        for waiting in (self.queue, self.blocked):
            for index in range(len(run.state.steps)):
                ticket = waiting.get((run.saga_id, index))
                if ticket is not None and ticket[0] is run:
                    del waiting[run.saga_id, index]

    def status(self, now_s: float) -> ParticipantStatus:
        """For those who look."""
        breaker = self.breaker
        return ParticipantStatus(
            self.service,
            breaker.state,
            self.held,
            self.in_flight,
            len(self.queue),
            len(self.blocked),
            breaker.recent_calls(now_s),
            breaker.failure_share(now_s),
            breaker.opens,
            None if self.probe_s is None else max(0.0, self.probe_s - now_s),
        )


def is_blocked(step: StepState) -> bool:
    """Whether the step waits, blocked, for its timer: it may be called earlier."""
    return step.blocked is not None and step.timer_us is not None
