"""The sagas in memory: carries out what the core asks for and feeds back what happened."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from orchestrator.core.effects import Effect, Invoke, SetTimer
from orchestrator.core.events import Event
from orchestrator.core.inputs import CancelRequested, DeadlineReached, Input, OperatorRequested, TimerFired
from orchestrator.core.state import TERMINAL, SagaStatus
from orchestrator.engine.calls import Calls
from orchestrator.engine.clock import DatabaseClock
from orchestrator.engine.lanes import LanePolicy
from orchestrator.engine.observing import Observer
from orchestrator.engine.operators import is_on_its_way_out, needs_claim, operator_request
from orchestrator.engine.ports import Participants
from orchestrator.engine.run import SagaRun
from orchestrator.engine.stored import SagaRequest
from orchestrator.engine.watches import Watches

log = structlog.get_logger(__name__)

HALTED = TERMINAL | {SagaStatus.STUCK}

LONGEST_TIMER_S = 24 * 3600.0
"""A timer beyond this fires early and is set again."""

CROWDED_PARK_AFTER_US = 2_000_000
"""In a crowded memory a saga that waits longer than this makes room for those that have something to do."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What the dispatcher asks of its surroundings."""

    may_call: Callable[[], bool]
    """Whether the lease is held, so that calls may be issued."""
    mark_dirty: Callable[[SagaRun], None]
    progressed: Callable[[UUID], None]
    orphaned: Callable[[], None]
    """A saga was dropped although the store may still hold it for this node."""
    left: Callable[[UUID], None]
    """A saga is not in memory any more."""


class Dispatcher:
    """All runs of a node. Everything here runs on one event loop; nothing here waits."""

    def __init__(
        self,
        participants: Participants,
        clock: DatabaseClock,
        watches: Watches,
        gates: Gates,
        *,
        park_after_s: float,
        crowded: int,
        lanes: LanePolicy,
        blocked_retry_s: float,
        uniform: Callable[[float, float], float],
        observer: Observer,
    ) -> None:
        """From ``crowded`` sagas in memory on, those that only wait leave it soon."""
        self.runs: dict[UUID, SagaRun] = {}
        self.draining = False
        self.defects: dict[UUID, int] = {}
        """How often a saga met a defect of the program since this node began; emptied as sagas leave."""
        self.disputed: dict[UUID, int] = {}
        """The epoch under which a participant called a saga another's; emptied as sagas leave."""
        self.calls = Calls(
            self, participants, clock, lanes, blocked_retry_s=blocked_retry_s, uniform=uniform, observer=observer
        )
        self._observer = observer
        self._clock = clock
        self._watches = watches
        self._gates = gates
        self._park_after_us = int(park_after_s * 1_000_000)
        self._crowded = crowded

    # ---- what a run asks of its host ----

    def now_us(self) -> int:
        """Database time."""
        return self._clock.now_us()

    def mark_dirty(self, run: SagaRun) -> None:
        """The run has something to write."""
        self._gates.mark_dirty(run)

    def happened(self, run: SagaRun, event: Event, at_us: int) -> None:
        """A traced saga moved."""
        self._observer.happened(run, event, at_us)

    def carry_out(self, run: SagaRun, effect: Effect) -> None:
        """Does what the core asks for. Its events are durable by now."""
        if isinstance(effect, Invoke):
            self.calls.invoke(run, effect)
        elif isinstance(effect, SetTimer):
            delay_s = min(self._clock.seconds_until(effect.at_us), LONGEST_TIMER_S)
            run.set_timer(effect.step, delay_s, self.fire)
            self._observer.waiting(run, effect.step, effect.at_us)
        else:
            self.calls.cancel(run, effect)

    # ---- what happens to a run ----

    def add(self, run: SagaRun) -> None:
        """Takes a saga into memory and arms its deadline."""
        if run.dropped:
            return
        self.runs[run.saga_id] = run
        self._arm_deadline(run)

    def feed(self, run: SagaRun, given: Input) -> None:
        """Tells the core. A defect of the program costs this saga its place in memory, and no other saga anything."""
        try:
            run.feed(given)
            self._park_if_idle(run)
        except Exception:
            log.exception("saga_defect", **run.tags(), input=type(given).__name__)
            self.has_defect(run)

    def fire(self, run: SagaRun, given: TimerFired) -> None:
        """A timer came due."""
        at_us = run.state.steps[given.step].timer_us
        if at_us is not None and self._clock.now_us() < at_us:
            # Timers run by the node's clock, the core by the database's: they differ a little.
            run.set_timer(given.step, min(self._clock.seconds_until(at_us) + 0.001, LONGEST_TIMER_S), self.fire)
            return
        self.feed(run, given)

    def written(self, run: SagaRun) -> None:
        """A checkpoint of the run is durable."""
        if run.dropped:
            self._gates.orphaned()  # until now it could not be taken up again
            return
        is_new = run.is_new
        try:
            released = run.written()
        except Exception:
            log.exception("saga_defect", **run.tags(), input="written")
            self.has_defect(run)
            return
        self._watches.tell(run.saga_id, run.durable_seq, run.durable_status)
        self._gates.progressed(run.saga_id)
        if is_new:
            self._observer.saga_started(run)
        if run.durable_status in HALTED:
            self._observer.saga_halted(run, self._clock.now_us())
        if run.durable_status is SagaStatus.COMPENSATING:
            self.calls.turned_around(run)
        if released:
            self.drop(run)
            self.forget(run.saga_id)
            if run.is_wanted:
                self._gates.orphaned()
        else:
            self._park_if_idle(run)

    def refused(self, run: SagaRun, error: ValueError | None) -> None:
        """The store holds another history of the saga: whatever is in memory is wrong. Or, with an ``error``, it can
        never take what the program made: a defect.
        """
        run.was_refused, run.error = True, error
        if error is not None:
            self.has_defect(run)
            return
        self.drop(run)
        if not run.is_new:
            self._gates.orphaned()

    def has_defect(self, run: SagaRun) -> None:
        """The program failed this saga: try again from the journal, a few times."""
        self.drop(run)
        if not run.is_new:
            self.count_defect(run.saga_id)

    def count_defect(self, saga_id: UUID) -> None:
        """The saga is not in memory for want of a program that can run it; it is tried again."""
        self.defects[saga_id] = self.defects.get(saga_id, 0) + 1
        self._gates.orphaned()

    def drop(self, run: SagaRun) -> None:
        """Forgets a run; the store is untouched."""
        if self.runs.get(run.saga_id) is run:
            del self.runs[run.saga_id]
            self._gates.left(run.saga_id)
        run.drop()
        self.calls.forget(run)

    def forget(self, saga_id: UUID) -> None:
        """The node let go of the saga in the store: what it did wrong here counts no more."""
        self.defects.pop(saga_id, None)
        self.disputed.pop(saga_id, None)

    def drop_all(self) -> None:
        """The node owns nothing any more."""
        self.calls.clear()
        self.defects.clear()
        self.disputed.clear()
        for run in list(self.runs.values()):
            self.drop(run)

    def give_requests(self, requests: list[SagaRequest]) -> None:
        """Feeds requests from elsewhere, each once."""
        for request in requests:
            run = self.runs.get(request.saga_id)
            if run is None or request.number in run.seen_requests:
                continue
            if request.kind == "cancel":
                run.seen_requests.add(request.number)
                run.stay()
                self.feed(run, CancelRequested(request.number))
            elif (asked := operator_request(request, run.names)) is not None:
                self._give_operators(run, asked)
            else:
                run.seen_requests.add(request.number)
                log.error("request_unknown", **run.tags(), kind=request.kind, step=request.step)

    def _give_operators(self, run: SagaRun, asked: OperatorRequested) -> None:
        """Feeds what an operator asks for, once the saga can hear it; it is offered again until then."""
        if run.is_new or is_on_its_way_out(run):
            return
        if needs_claim(run, asked):
            if not run.is_parked and not any(step.in_flight for step in run.state.steps):
                run.is_wanted = True
                run.park(self._clock.now_us())
            return
        run.seen_requests.add(asked.number)
        run.stay()
        self.feed(run, asked)
        if not run.dropped:
            self._arm_deadline(run)  # it may go forward again

    def attempts_under_way(self) -> list[asyncio.Task[None]]:
        """The tasks of all attempts in flight."""
        return [task for run in self.runs.values() for task in run.attempts.values()]

    # ---- what the calls ask ----

    def may_call(self) -> bool:
        """Whether the lease is held, so that calls may be issued."""
        return self._gates.may_call()

    def is_disputed(self, run: SagaRun) -> bool:
        """A participant has seen a newer epoch of the saga. Drops the saga for the store to say whose it is: True. If
        it is still this node's under this epoch, the next such answer is for the core to judge: False.
        """
        log.warning("stale_epoch", **run.tags(), epoch=run.epoch)
        if self.disputed.get(run.saga_id) == run.epoch:
            return False
        self.disputed[run.saga_id] = run.epoch
        self.drop(run)
        self._gates.orphaned()
        return True

    # ---- waiting ----

    def _arm_deadline(self, run: SagaRun) -> None:
        if run.deadline_timer is not None:
            run.deadline_timer.cancel()
        state = run.state
        if state.status is not SagaStatus.RUNNING or state.deadline_noted or state.by_hand.paused_us:
            return
        delay_s = min(self._clock.seconds_until(run.state.deadline_us) + 0.001, LONGEST_TIMER_S)
        run.deadline_timer = asyncio.get_running_loop().call_later(delay_s, self._deadline, run)

    def _deadline(self, run: SagaRun) -> None:
        if run.dropped or run.is_parked:
            return
        self.feed(run, DeadlineReached())
        if not run.dropped:
            self._arm_deadline(run)

    def _park_if_idle(self, run: SagaRun) -> None:
        due_us = run.due_us()
        if due_us is None:
            return
        park_after_us = self._park_after_us
        if len(self.runs) >= self._crowded:
            park_after_us = min(park_after_us, CROWDED_PARK_AFTER_US)
        if due_us - self._clock.now_us() > park_after_us:
            run.park(due_us)
