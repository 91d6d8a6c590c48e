"""Issues the calls of all sagas: one lane for each participant, so that none waits for another's trouble."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from contracts.errors import Reason
from orchestrator.core.effects import CancelAttempt, Invoke
from orchestrator.core.events import Failure, Phase
from orchestrator.core.graph import can_be_cut_short
from orchestrator.core.inputs import AttemptCancelled, AttemptEnded, Input, StepSettled, StepUnblocked
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus
from orchestrator.engine.attempts import attempt
from orchestrator.engine.breakers import BreakerState
from orchestrator.engine.clock import DatabaseClock
from orchestrator.engine.lanes import Lane, LanePolicy, ParticipantStatus, is_blocked
from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import Participants
from orchestrator.engine.run import SagaRun

log = structlog.get_logger(__name__)

SILENCE: Final = frozenset({4, 14})
"""DEADLINE_EXCEEDED and UNAVAILABLE: the participant did not answer. Every other status is an answer, and a handler
that fails on some request is no reason to keep others from it."""
SHARE_OF_ABSENCE: Final = 0.5
"""A step is blocked for half as long again as its participant has been away, so that a long absence costs little..."""
LONGEST_BLOCK: Final = 8
"""...but at most for this many times the usual while. Sagas in memory go on at once when the participant is back."""


class CallHost(Protocol):
    """What calls ask of the dispatcher."""

    draining: bool

    def may_call(self) -> bool: ...
    def feed(self, run: SagaRun, given: Input) -> None: ...
    def has_defect(self, run: SagaRun) -> None: ...
    def is_disputed(self, run: SagaRun) -> bool: ...


class Calls:
    """All calls of a node. Everything here runs on one event loop; nothing but an attempt's own task waits."""

    def __init__(
        self,
        host: CallHost,
        participants: Participants,
        clock: DatabaseClock,
        policy: LanePolicy,
        *,
        blocked_retry_s: float,
        uniform: Callable[[float, float], float],
        observer: Observer,
    ) -> None:
        self._host = host
        self._participants = participants
        self._clock = clock
        self._policy = policy
        self._blocked_retry_s = blocked_retry_s
        self._uniform = uniform
        self._observer = observer
        self._lanes: dict[str, Lane] = {}
        """By service: as many as the definitions name, and those that were held."""
        self._waiting_for_lease: list[tuple[SagaRun, Invoke]] = []

    # ---- what the dispatcher asks ----

    def invoke(self, run: SagaRun, invoke: Invoke) -> None:
        """Issues the call, or has it wait: for the lease, for its turn, or, blocked, for its participant."""
        if run.dropped or self._host.draining:
            return  # the next owner asks for it again
        if invoke.phase is Phase.ACTION and run.durable_status is SagaStatus.COMPENSATING:
            self._overtaken(run, invoke)
            return
        # One that was queued before a pause is not made either before the end of that is durable.
        halted = run.is_paused or run.state.by_hand.paused_us or run.state.status is SagaStatus.STUCK
        if halted and can_be_cut_short(run.definition.spec.steps[invoke.step]):
            # Halted before the call was made: it is not made, and the core asks for it again once the saga goes on.
            cancelled = AttemptCancelled(invoke.step, invoke.phase)
            asyncio.get_running_loop().call_soon(self._host.feed, run, cancelled)
            return
        if not self._host.may_call():
            self._waiting_for_lease.append((run, invoke))
            return
        lane = self._lane(_service(run, invoke))
        if lane.room > 0:
            self._issue(lane, run, invoke)
        elif lane.is_shut:
            self._block(lane, run, invoke)
        else:
            lane.queue[run.saga_id, invoke.step] = run, invoke

    def cancel(self, run: SagaRun, effect: CancelAttempt) -> None:
        """Cuts an attempt short, or takes back one that was not issued yet."""
        task = run.attempts.get(effect.step)
        if task is not None:
            task.cancel()
            coroutine = task.get_coro()
            if not inspect.iscoroutine(coroutine) or inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
                return  # it says itself that it ended
            del run.attempts[effect.step]
        else:
            self._take_back(run, effect.step)
        # It ended, or was never begun: say so once the core is not in the middle of a transition.
        asyncio.get_running_loop().call_soon(self._host.feed, run, AttemptCancelled(effect.step, effect.phase))

    def turned_around(self, run: SagaRun) -> None:
        """The way back is durable: actions that still wait for their turn are not made (I4)."""
        for index, step in enumerate(run.state.steps):
            if step.in_flight is Phase.ACTION and index not in run.attempts:
                ticket = self._take_back(run, index)
                if ticket is not None:
                    self._overtaken(*ticket)

    def lease_renewed(self) -> None:
        """Issues the calls that waited for the lease."""
        waiting, self._waiting_for_lease = self._waiting_for_lease, []
        for run, invoke in waiting:
            self.invoke(run, invoke)

    def forget(self, run: SagaRun) -> None:
        """The saga left memory; its attempts were cancelled."""
        for lane in self._lanes.values():
            if lane.queue or lane.blocked:
                lane.forget(run)

    def clear(self) -> None:
        """The node owns nothing any more."""
        self._waiting_for_lease.clear()

    # ---- what operators ask ----

    def hold(self, service: str) -> None:
        """Issues no more calls of a participant: its steps are blocked until :meth:`release`. May be called twice."""
        lane = self._lane(service)
        if not lane.held:
            log.warning("participant_held", service=service)
            lane.held = True
            self._block_queued(lane)

    def release(self, service: str) -> None:
        """Ends a hold. May be called twice."""
        lane = self._lane(service)
        if lane.held:
            log.info("participant_released", service=service, blocked=len(lane.blocked))
            lane.release()
            self._pull(lane)

    def participants(self) -> tuple[ParticipantStatus, ...]:
        """How each participant fares that was called or held since the node began, by name."""
        now_s = self._clock.monotonic_s()
        return tuple(lane.status(now_s) for _, lane in sorted(self._lanes.items()))

    def is_crowded(self, services: frozenset[str]) -> bool:
        """Whether too many calls wait for one of the services already."""
        return any(lane.is_crowded for service, lane in self._lanes.items() if service in services)

    # ---- one call ----

    def _issue(self, lane: Lane, run: SagaRun, invoke: Invoke) -> None:
        place = _Place(self, lane)
        task = run.attempts[invoke.step] = asyncio.get_running_loop().create_task(self._attempt(run, invoke, place))
        task.add_done_callback(place.leave)

    async def _attempt(self, run: SagaRun, invoke: Invoke, place: "_Place") -> None:
        if not self._host.may_call():  # the process may have stood still since the task was made
            run.attempts.pop(invoke.step, None)
            self._waiting_for_lease.append((run, invoke))
            return
        try:
            told = await attempt(run, invoke, self._participants, self._clock, self._observer)
        except asyncio.CancelledError:
            run.attempts.pop(invoke.step, None)
            if not run.dropped:
                self._host.feed(run, AttemptCancelled(invoke.step, invoke.phase))
            raise
        except Exception:
            log.exception("attempt_defect", **run.tags(invoke.step), attempt=invoke.attempt)
            self._host.has_defect(run)
            return
        run.attempts.pop(invoke.step, None)
        if isinstance(told, AttemptEnded):
            place.failed = told.outcome is not Outcome.BUSY and _is_silence(told.failure)
            if told.outcome is Outcome.STALE_EPOCH and not run.dropped and self._host.is_disputed(run):
                return
        elif isinstance(told, StepSettled):
            place.failed = False
        self._host.feed(run, told)

    def left(self, lane: Lane, generation: int, *, failed: bool | None) -> None:
        """A call is over, and its place is free."""
        before = lane.breaker.state
        lane.end(generation, self._clock.monotonic_s(), failed=failed)
        if lane.breaker.state is not before:
            self._turned(lane)
        if lane.queue or lane.blocked:
            self._pull(lane)

    def _overtaken(self, run: SagaRun, invoke: Invoke) -> None:
        """The way back became durable before the call was made, so it is not made (I4)."""
        if can_be_cut_short(run.definition.spec.steps[invoke.step]):
            return  # the core has asked to cancel it: see cancel()
        failure = Failure(0, "NEVER_CALLED", "the saga turned around before the step was called")
        ended = AttemptEnded(invoke.step, invoke.phase, invoke.attempt, Outcome.REJECTED, failure=failure)
        asyncio.get_running_loop().call_soon(self._host.feed, run, ended)

    # ---- waiting for a participant ----

    def _lane(self, service: str) -> Lane:
        lane = self._lanes.get(service)
        if lane is None:
            lane = self._lanes[service] = Lane(service, self._policy)
        return lane

    def _pull(self, lane: Lane) -> None:
        """Issues what waits, as far as there is room."""
        while lane.room > 0:
            if lane.blocked:  # they came before those that are queued
                _, (run, invoke) = lane.blocked.popitem(last=False)
                if is_blocked(run.state.steps[invoke.step]):
                    self._host.feed(run, StepUnblocked(invoke.step))  # the core asks for the call again
            elif lane.queue:
                _, (run, invoke) = lane.queue.popitem(last=False)
                self.invoke(run, invoke)
            else:
                return

    def _block(self, lane: Lane, run: SagaRun, invoke: Invoke) -> None:
        """Once the core is not in the middle of a transition, has it wait without spending an attempt."""
        asyncio.get_running_loop().call_soon(self._tell_blocked, lane, run, invoke)

    def _tell_blocked(self, lane: Lane, run: SagaRun, invoke: Invoke) -> None:
        if run.state.status is SagaStatus.COMPENSATING and invoke.phase is Phase.ACTION:
            self._overtaken(run, invoke)
            return
        away_s = 0.0
        if lane.held:
            failure = Failure(0, "PARTICIPANT_HELD", f"calls of {lane.service} are held back until they are released")
        else:
            failure = Failure(0, "BREAKER_OPEN", f"{lane.service} does not answer; it is called again once it does")
            away_s = self._clock.monotonic_s() - lane.breaker.opened_s
        usual_s = self._blocked_retry_s
        delay_s = min(max(usual_s, away_s * SHARE_OF_ABSENCE), usual_s * LONGEST_BLOCK) * self._uniform(1.0, 1.25)
        self._host.feed(
            run,
            AttemptEnded(
                invoke.step,
                invoke.phase,
                invoke.attempt,
                Outcome.MISCONFIGURED,
                failure=failure,
                retry_after_us=int(delay_s * 1_000_000),
            ),
        )
        if not run.dropped and is_blocked(run.state.steps[invoke.step]):
            lane.blocked[run.saga_id, invoke.step] = run, invoke
            self._pull(lane)  # the way may be free by now

    def _block_queued(self, lane: Lane) -> None:
        queued = list(lane.queue.values())
        lane.queue.clear()
        for run, invoke in queued:
            self._block(lane, run, invoke)

    def _turned(self, lane: Lane) -> None:
        """The breaker opened or closed."""
        breaker = lane.breaker
        self._observer.breaker_turned(lane.service, breaker.state)
        if breaker.state is BreakerState.OPEN:
            pause_s = breaker.pause_s * self._uniform(0.8, 1.2)
            lane.probe_s = self._clock.monotonic_s() + pause_s
            log.warning("breaker_opened", service=lane.service, for_s=round(pause_s, 1), queued=len(lane.queue))
            self._block_queued(lane)
            asyncio.get_running_loop().call_later(pause_s, self._probe, lane)
        else:
            log.info("breaker_closed", service=lane.service, blocked=len(lane.blocked))

    def _probe(self, lane: Lane) -> None:
        lane.probe_s = None
        lane.breaker.probe()
        self._pull(lane)

    def _take_back(self, run: SagaRun, step: int) -> tuple[SagaRun, Invoke] | None:
        """A call that was not issued yet; None if there is none."""
        for index, (waiting, invoke) in enumerate(self._waiting_for_lease):
            if waiting is run and invoke.step == step:
                return self._waiting_for_lease.pop(index)
        for lane in self._lanes.values():
            ticket = lane.queue.get((run.saga_id, step))
            if ticket is not None and ticket[0] is run:
                return lane.queue.pop((run.saga_id, step))
        return None


class _Place:
    """One call's place in its lane, given up when its task is over, whether or not it ever began."""

    __slots__ = ("_calls", "_generation", "_lane", "failed")

    def __init__(self, calls: Calls, lane: Lane) -> None:
        self._calls = calls
        self._lane = lane
        self._generation = lane.begin()
        self.failed: bool | None = None

    def leave(self, _task: asyncio.Task[None]) -> None:
        self._calls.left(self._lane, self._generation, failed=self.failed)


def _is_silence(failure: Failure | None) -> bool:
    """Whether nobody was there. A handler that failed and says so in words has answered, whatever the status."""
    return failure is not None and failure.code in SILENCE and failure.reason != Reason.INTERNAL


def _service(run: SagaRun, invoke: Invoke) -> str:
    step = run.definition.steps[invoke.step]
    if invoke.phase is Phase.COMPENSATION:
        assert step.compensation is not None, "only compensatable steps are compensated"
        return step.compensation.service
    return step.method.service
