"""Why a saga stands where it stands, in plain words: what goes on, why, and what happens next by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from saga.v1 import operator_pb2 as op
from saga.v1.event_pb2 import EVENT_TYPE_REQUEST_CONSUMED

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.definition import RetryPolicy, StepKind
from orchestrator.core.events import Failure, Phase, RequestConsumed
from orchestrator.core.graph import is_being_settled, is_past_pivot
from orchestrator.core.inputs import OperatorAction, OperatorRequested
from orchestrator.core.operate import PHASE_OF, stuck_step, waits
from orchestrator.core.state import SagaState, SagaStatus, StepStatus
from orchestrator.definitions.model import Definition
from orchestrator.engine.api import SagaView
from orchestrator.engine.journal import decode
from orchestrator.operations.messages import timestamp
from orchestrator.operations.planning import plan_action

_WORDS = {Phase.ACTION: "action", Phase.COMPENSATION: "compensation", Phase.SETTLE: "settling"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an explanation needs beside the saga. ``participants`` tells in words what hinders calls to a service."""

    now_us: int
    policy: CorePolicy
    participants: Mapping[str, str]
    node_names: Mapping[str, str]
    """Live nodes by their ids."""


def explain(view: SagaView, attention: op.AttentionKind.ValueType, around: Surroundings) -> op.Explanation:
    """The explanation. Without the definition only the row can be told of, and no action is offered."""
    told = op.Explanation(attention=attention, version=view.stored.last_seq)
    if view.definition is None or view.state is None:
        _explain_row(view, told)
        return told
    _Teller(view, view.definition, view.state, around, told).tell()
    if not view.state.is_terminal:
        told.options.extend(_options(view.definition, view.state, around))
    return told


def when(at_us: int) -> str:
    """A time for people, in UTC to the second."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _why(failure: Failure | None) -> str:
    if failure is None:
        return "no reason was given"
    message = f" ({failure.message})" if failure.message else ""
    return f"{failure.reason or f'status {failure.code}'}{message}"


def _explain_row(view: SagaView, told: op.Explanation) -> None:
    stored = view.stored
    label = f"{stored.definition} v{stored.version}"
    told.summary = f"The saga is {stored.row.status.name}; its definition {label} is not loaded by the answering node."
    told.causes.append("only a node that has the definition can show its steps and act on it")
    if not stored.definition_loaded and stored.ended_us is None:
        told.causes.append(f"no live node has {label} loaded, so nobody can go on with the saga")
        told.next.append(f"it goes on by itself once a node with {label} is started")


@dataclass(slots=True)
class _Teller:
    view: SagaView
    definition: Definition
    state: SagaState
    around: Surroundings
    told: op.Explanation

    def tell(self) -> None:
        state = self.state
        if state.is_terminal:
            self._tell_end()
        elif state.status is SagaStatus.STUCK:
            self._tell_stuck()
        elif state.by_hand.paused_us:
            since = when(state.by_hand.paused_us)
            self.told.summary = f"The saga was paused at {since}{self._by_whom('pause')}; it begins no call."
            self.told.causes.append("only a resume lets it go on; its timers and its deadline wait")
        else:
            self._tell_way()

    def _tell_end(self) -> None:
        ends = {
            SagaStatus.COMPLETED: "Every step succeeded.",
            SagaStatus.COMPENSATED: "Everything that may have taken effect was undone.",
            SagaStatus.RESOLVED: f"The saga was settled by hand{self._by_whom('resolve', 'skip_step')}.",
        }
        self.told.summary = ends[self.state.status]
        if self.state.failure is not None:
            self.told.causes.append(f"{self._failed_step()}{_why(self.state.failure)}")

    def _by_whom(self, *kinds: str) -> str:
        """Who had the last such action granted, and why."""
        for entry in reversed(self.view.stored.journal):
            if entry.kind == EVENT_TYPE_REQUEST_CONSUMED:
                event = decode((), entry.kind, entry.attributes)
                if isinstance(event, RequestConsumed) and event.kind in kinds and event.refusal is None:
                    return f" by {event.caller} ({event.reason})"
        return ""

    def _failed_step(self) -> str:
        index = self.state.failed_step
        return "" if index is None else f"step {self.definition.steps[index].name}: "

    def _tell_stuck(self) -> None:
        index, phase = stuck_step(self.state), self.state.stuck_phase or Phase.ACTION
        if index is None:
            self.told.summary = f"The saga as a whole is stuck: {_why(self.state.failure)}."
        else:
            self.told.summary = (
                f"The saga is stuck: the {_WORDS[phase]} of {self._at(index, phase)} did not go through."
            )
            self.told.causes.append(_why(self.state.failure))
            step = self.state.steps[index]
            attempts = step.compensation_attempts if phase is Phase.COMPENSATION else step.attempts
            self.told.causes.append(f"after {attempts} attempt{'' if attempts == 1 else 's'}")
            if self.definition.spec.steps[index].kind is StepKind.RETRIABLE:
                self.told.causes.append("the step comes after the pivot, so the saga cannot turn around")
            self._tell_participant(index, phase)
        backward = self.state.stuck_from is SagaStatus.COMPENSATING
        self.told.causes.append(f"it was on its way {'back' if backward else 'forward'}; only an operator moves it")

    def _tell_way(self) -> None:
        state, spec = self.state, self.definition.spec
        backward = state.status is SagaStatus.COMPENSATING
        active = [index for index in range(len(state.steps)) if self._is_active(index)]
        way = "being resolved by hand" if state.by_hand.is_resolving else "going back" if backward else "going forward"
        names = ", ".join(spec.steps[index].name for index in active)
        hindered = [index for index in active if waits(state.steps[index], self.around.now_us)]
        blocked = [index for index in hindered if state.steps[index].blocked is not None]
        if blocked:
            names = ", ".join(spec.steps[index].name for index in blocked)
            self.told.summary = f"The saga is {way} and blocked at {names}: it waits for something outside of it."
        elif hindered:
            names = ", ".join(spec.steps[index].name for index in hindered)
            self.told.summary = f"The saga is {way}; {names} failed and is tried again."
        else:
            self.told.summary = f"The saga is {way}, at {names or 'no step'}."
        if backward and state.failure is not None and not state.by_hand.is_resolving:
            self.told.causes.append(f"it turned around because of {self._failed_step()}{_why(state.failure)}")
        for index in hindered:
            self._tell_waiting(index)
        self._tell_owner()
        self._tell_deadline()

    def _is_active(self, index: int) -> bool:
        step = self.state.steps[index]
        if step.status is StepStatus.UNKNOWN:
            return is_being_settled(self.definition.spec, self.state, index)
        return step.status in {StepStatus.RUNNING, StepStatus.COMPENSATING}

    def _at(self, index: int, phase: Phase) -> str:
        bound = self.definition.steps[index]
        method = bound.compensation if phase is Phase.COMPENSATION else bound.method
        return f"step {bound.name} at {(method or bound.method).service}"

    def _tell_participant(self, index: int, phase: Phase) -> None:
        bound = self.definition.steps[index]
        method = bound.compensation if phase is Phase.COMPENSATION and bound.compensation else bound.method
        hindrance = self.around.participants.get(method.service)
        if hindrance:
            self.told.causes.append(f"{method.service}: {hindrance}")

    def _tell_waiting(self, index: int) -> None:
        step, spec = self.state.steps[index], self.definition.spec.steps[index]
        phase = PHASE_OF[step.status]
        where, at = self._at(index, phase), when(step.next_attempt_us)
        due = max(step.next_attempt_us, self.around.now_us)
        if step.blocked is not None:
            since = when(step.budget_from_us)
            self.told.causes.append(f"the {_WORDS[phase]} of {where} is blocked since {since}: {_why(step.blocked)}")
            self.told.next.append(f"step {spec.name} tries again by itself, about {at}, spending no attempts")
        else:
            retry = spec.compensation_retry if phase is Phase.COMPENSATION else spec.retry
            spent = f"{step.counted_attempts} of {retry.max_attempts} attempts are spent"
            self.told.causes.append(f"the {_WORDS[phase]} of {where} failed: {_why(step.failure)}; {spent}")
            self.told.next.append(f"step {spec.name} is called again at {at}")
            self.told.next.append(self._once_spent(index, phase, retry))
        self._tell_participant(index, phase)
        if not self.told.HasField("next_time") or due < self._next_us():
            self.told.next_time.CopyFrom(timestamp(due))

    def _next_us(self) -> int:
        return self.told.next_time.seconds * 1_000_000 + self.told.next_time.nanos // 1000

    def _once_spent(self, index: int, phase: Phase, retry: RetryPolicy) -> str:
        spec, step = self.definition.spec.steps[index], self.state.steps[index]
        ends = when(step.budget_from_us + int(retry.budget_s * 1_000_000))
        if phase is Phase.COMPENSATION or spec.kind is StepKind.RETRIABLE or not spec.has_barrier:
            then = "the saga is stuck"
        elif spec.kind is StepKind.PIVOT:
            then = "the participant is asked to settle it"
        else:
            then = "the saga turns around"
        return f"once its attempts are spent, or at {ends}, {then}"

    def _tell_owner(self) -> None:
        stored = self.view.stored
        if stored.owner is not None:
            name = self.around.node_names.get(str(stored.owner))
            if name is None:
                self.told.causes.append(f"its owner, node {stored.owner}, is dead; another takes it over")
                self.told.next.append("a live node takes the saga over within a lease")
            return
        if not stored.definition_loaded:
            label = f"{stored.definition} v{stored.version}"
            self.told.causes.append(f"no live node has {label} loaded")
            self.told.next.append(f"it goes on once a node with {label} is started")
        elif stored.wake_at_us is not None:
            self.told.next.append(f"a node takes it up when it is due, at {when(stored.wake_at_us)}")

    def _tell_deadline(self) -> None:
        state, spec = self.state, self.definition.spec
        late = state.deadline_us <= self.around.now_us
        if late:
            self.told.causes.append(f"its deadline passed at {when(state.deadline_us)}")
        elif state.status is SagaStatus.RUNNING and not is_past_pivot(spec, state):
            self.told.next.append(f"at its deadline, {when(state.deadline_us)}, it turns around")
            if not self.told.HasField("next_time"):
                self.told.next_time.CopyFrom(timestamp(state.deadline_us))


def _options(definition: Definition, state: SagaState, around: Surroundings) -> list[op.ActionOption]:
    forward = SagaStatus.RUNNING in {state.status, state.stuck_from}
    found = []
    for action in OperatorAction:
        response = b"" if action is OperatorAction.SKIP_STEP and forward else None
        asked = OperatorRequested(0, action, state.seq, None, response)
        option = op.ActionOption(
            action=op.OperatorAction.ValueType(action.value),
            plan=plan_action(definition, state, asked, around.now_us, around.policy),
        )
        index = stuck_step(state)
        if index is not None and action in {OperatorAction.RETRY, OperatorAction.SKIP_STEP}:
            option.step = definition.steps[index].name
        found.append(option)
    return sorted(found, key=lambda option: not option.plan.allowed)
