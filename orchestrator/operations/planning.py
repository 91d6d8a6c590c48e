"""What an action would do to a saga: the core itself is asked, on a copy, and its calls are noted instead of made."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from saga.v1 import operator_pb2 as op
from saga.v1 import saga_pb2

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.definition import SagaSpec, StepKind
from orchestrator.core.effects import CancelAttempt, Effect, Invoke
from orchestrator.core.events import Phase, SagaClaimed
from orchestrator.core.fold import fold
from orchestrator.core.graph import can_settle
from orchestrator.core.inputs import (
    AttemptCancelled,
    AttemptEnded,
    Input,
    OperatorAction,
    OperatorRequested,
    Resumed,
    StepSettled,
    TimerFired,
)
from orchestrator.core.machine import advance
from orchestrator.core.operate import skipped, why_not
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaState, SagaStatus, StepStatus
from orchestrator.definitions.model import Definition
from orchestrator.operations.messages import failure_message

MAX_MOVES: Final = 2000
"""Of a simulated end. A saga has at most some hundred steps, each of which is called and undone once."""
SETTLE_METHOD: Final = "saga.v1.ParticipantService/Settle"

_SUMMARY: Final = {
    OperatorAction.RETRY: "tries again now, under a higher epoch and with a fresh budget",
    OperatorAction.RETRY_COMPENSATION: "tries the compensation again now, under a higher epoch and with a fresh budget",
    OperatorAction.SKIP_STEP: "settles the step, then goes on without it",
    OperatorAction.FORCE_COMPENSATION: "turns around and undoes everything that may have taken effect",
    OperatorAction.RESOLVE: "settles what may have run, then ends RESOLVED; nothing is undone",
    OperatorAction.PAUSE: "begins no more calls; those under way end",
    OperatorAction.RESUME: "goes on where it was",
}


@dataclass(slots=True)
class _Rehearsal:
    """The saga played to its end: every call succeeds, every settling finds what the action hopes for."""

    definition: Definition
    state: SagaState
    now_us: int
    policy: CorePolicy
    done_if_settled: bool
    calls: list[op.PlannedCall] = field(default_factory=list)
    ahead: deque[Input] = field(default_factory=deque)

    def give(self, given: Input, *, follows: bool) -> None:
        moved = advance(self.definition.spec, self.state, given, self.now_us, self.policy)
        self.state = moved.state
        for effect in moved.effects:
            self._note(effect, follows=follows)

    def end(self) -> None:
        """Plays on until nothing happens any more."""
        for _ in range(MAX_MOVES):
            if not self.ahead or self.state.is_terminal or self.state.status is SagaStatus.STUCK:
                return
            given = self.ahead.popleft()
            if isinstance(given, TimerFired):
                timer_us = self.state.steps[given.step].timer_us
                self.now_us = max(self.now_us, timer_us or 0)
            self.give(given, follows=True)

    def _note(self, effect: Effect, *, follows: bool) -> None:
        if isinstance(effect, Invoke):
            self.calls.append(self._call(effect, follows=follows))
            self.ahead.append(self._success(effect))
        elif isinstance(effect, CancelAttempt):
            self.ahead.append(AttemptCancelled(effect.step, effect.phase))
        else:
            self.ahead.append(TimerFired(effect.step))

    def _success(self, call: Invoke) -> Input:
        if call.phase is Phase.SETTLE:
            return StepSettled(call.step, self.done_if_settled, undone=False, response=b"")
        return AttemptEnded(call.step, call.phase, call.attempt, Outcome.SUCCESS)

    def _call(self, call: Invoke, *, follows: bool) -> op.PlannedCall:
        step = self.definition.steps[call.step]
        method = step.compensation if call.phase is Phase.COMPENSATION else step.method
        assert method is not None, "only compensatable steps are compensated"
        name = SETTLE_METHOD if call.phase is Phase.SETTLE else method.full_name
        return op.PlannedCall(
            step=step.name,
            phase=saga_pb2.Phase.ValueType(call.phase.value),
            method=name,
            participant=method.service,
            attempt=call.attempt,
            follows=follows,
        )


def plan_action(
    definition: Definition, state: SagaState, given: OperatorRequested, now_us: int, policy: CorePolicy
) -> op.ActionPlan:
    """The plan for a saga that is live, from its journal alone: what is under way at its owner is not known here."""
    spec = definition.spec
    if given.action is not OperatorAction.PAUSE:
        # It is claimed for it, or might be; in any case nothing is known to be in flight.
        state = fold(spec, state, SagaClaimed("", crashed=False), at_us=now_us, epoch=state.epoch + 1)
    refusal = why_not(spec, state, given, now_us)
    plan = op.ActionPlan(summary=f"the saga {_SUMMARY[given.action]}")
    if refusal is not None:
        plan.refusal.CopyFrom(failure_message(refusal))
        plan.state_after = saga_pb2.SagaState.ValueType(state.status.value)
        return plan
    plan.allowed = True
    plan.warnings.extend(_warnings(spec, state, given, now_us))
    settled_done = given.action not in {OperatorAction.SKIP_STEP, OperatorAction.RESOLVE}
    rehearsal = _Rehearsal(definition, state, now_us, policy, settled_done)
    if given.action is not OperatorAction.PAUSE:
        rehearsal.give(Resumed(), follows=False)
    rehearsal.give(given, follows=False)
    plan.state_after = saga_pb2.SagaState.ValueType(rehearsal.state.status.value)
    rehearsal.end()
    plan.calls.extend(rehearsal.calls)
    plan.expected_end = saga_pb2.SagaState.ValueType(rehearsal.state.status.value)
    return plan


def _warnings(spec: SagaSpec, state: SagaState, given: OperatorRequested, now_us: int) -> list[str]:
    found: list[str] = []
    bare = [
        step.name
        for index, step in enumerate(spec.steps)
        if not can_settle(step)
        and step.kind is not StepKind.READ_ONLY
        and (state.steps[index].status in _MAY_HAVE_RUN or state.steps[index].had_unknown)
        and (given.action is not OperatorAction.SKIP_STEP or index == skipped(state, given, now_us))
    ]
    if given.action in {OperatorAction.SKIP_STEP, OperatorAction.RESOLVE, OperatorAction.FORCE_COMPENSATION}:
        found += [f"step {name} keeps no barrier: nobody can say whether a late call still lands" for name in bare]
    if given.action is OperatorAction.SKIP_STEP and skipped(state, given, now_us) == spec.pivot is not None:
        found.append("the step is the pivot: whoever skips it vouches for its effect, and the saga only goes forward")
    if given.action is OperatorAction.SKIP_STEP and given.response is None:
        found.append("the effect of the step stays, so the saga ends RESOLVED and not COMPENSATED")
    late = state.deadline_us <= now_us and not state.deadline_noted
    if late and state.status is SagaStatus.STUCK and SagaStatus.RUNNING is state.stuck_from:
        found.append("the deadline has passed; the saga goes on in spite of it")
    elif late and given.action is OperatorAction.RESUME:
        found.append("the deadline has passed meanwhile: the saga turns around unless its pivot may have taken effect")
    return found


_MAY_HAVE_RUN: Final = frozenset({StepStatus.RUNNING, StepStatus.UNKNOWN, StepStatus.STUCK, StepStatus.COMPENSATING})
