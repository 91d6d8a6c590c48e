"""Actions on one saga: planned, stored with their entry of the audit log, and decided by the saga's owner."""

import re
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from google.protobuf.json_format import Parse, ParseError
from saga.v1 import operator_pb2 as op
from saga.v1 import saga_pb2

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.events import Failure, RequestConsumed
from orchestrator.core.inputs import OperatorAction, OperatorRequested
from orchestrator.core.operate import SAGA_STATE, VERSION_CHANGED, stuck_step, waits
from orchestrator.core.state import SagaState
from orchestrator.definitions.errors import PayloadError
from orchestrator.definitions.model import Definition
from orchestrator.engine.api import SagaEngine, SagaView
from orchestrator.engine.journal import decode
from orchestrator.engine.ports import RequestReused, SagaEnded, TooManyRequests
from orchestrator.engine.stored import StoredEntry
from orchestrator.operations.messages import failure_message
from orchestrator.operations.planning import plan_action
from orchestrator.operations.ports import OperatorStore
from orchestrator.operations.values import AuditAction, AuditOutcome, AuditRecord, SagaAction

_FIELD: Final = re.compile(r"Failed to parse (\w+) field")
"""What the JSON parser says of each field on the way to the one that is wrong; the rest of its text quotes values."""

ENDED: Final = Failure(0, SAGA_STATE, "the saga has ended; nothing can be done to it any more")


class StepUnknown(Exception):  # noqa: N818  (what the name is)
    """The saga's definition has no step of this name."""


class DefinitionMissing(Exception):  # noqa: N818  (what is missing)
    """The saga's definition is not loaded by this node."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator asks for. At most one of ``response`` and ``response_json`` is set."""

    saga_id: UUID
    action: OperatorAction
    caller: str
    request_id: str
    reason: str
    expected_seq: int
    step: str | None = None
    response: bytes | None = None
    response_json: str | None = None
    bulk_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An action that is stored under a number, or refused at once. ``plan`` is missing for a repeated request."""

    number: int | None
    refusal: Failure | None
    plan: op.ActionPlan


class Acting:
    """The use-cases. Each may raise ``StoreUnavailable``, and :class:`KeyError` for an unknown saga."""

    def __init__(self, engine: SagaEngine, store: OperatorStore, policy: CorePolicy) -> None:
        self._engine: Final = engine
        self._store: Final = store
        self._policy: Final = policy

    async def plan(self, asked: Asked) -> tuple[SagaView, op.ActionPlan]:
        """What it would do. Raises :class:`StepUnknown`, :class:`DefinitionMissing`, ``PayloadError``."""
        view = await self._engine.view(asked.saga_id)
        if view is None:
            raise KeyError(asked.saga_id)
        _, plan = await self._plan(view, asked)
        return view, plan

    async def act(self, asked: Asked, timeout_s: float) -> tuple[Failure | None, op.ActionPlan]:
        """Does it: why it was refused, or None.

        Raises as :meth:`plan` does, ``RequestReused``, ``TooManyRequests``, and :class:`TimeoutError` if nothing was
        decided in time.
        """
        begun = await self.begin(asked)
        if begun.number is None:
            return begun.refusal, begun.plan
        return await self._engine.decided(asked.saga_id, begun.number, timeout_s), begun.plan

    async def begin(self, asked: Asked) -> Begun:
        """Stores it, unless it cannot be allowed. Raises as :meth:`act` does. Repeating it asks only once."""
        repeated = await self._find(asked)
        if repeated is not None:
            return repeated
        view = await self._engine.view(asked.saga_id)
        if view is None:
            raise KeyError(asked.saga_id)
        given, plan = await self._plan(view, asked)
        refusal = _refusal(plan)
        if refusal is None:
            action = SagaAction(
                asked.saga_id,
                AuditAction(given.action.value),
                asked.caller,
                asked.request_id,
                asked.reason,
                asked.expected_seq,
                asked.step,
                given.response,
                asked.bulk_id,
            )
            try:
                return Begun(await self._store.add_action(action), None, plan)
            except SagaEnded:
                refusal = ENDED
            except TooManyRequests:
                full = Failure(0, "TOO_MANY_REQUESTS", "the saga takes no more requests")
                await self._refuse(asked, full, view.stored.tenant)
                raise
        await self._refuse(asked, refusal, view.stored.tenant)
        return Begun(None, refusal, plan)

    async def _find(self, asked: Asked) -> Begun | None:
        before = await self._store.find_audit(asked.caller, asked.request_id)
        if before is None:
            return None
        record = before.record
        action = AuditAction(asked.action.value)
        if (record.saga_id, record.action, record.step) != (asked.saga_id, action, asked.step):
            raise RequestReused("the request id was used for something else; use a new one")
        plan = op.ActionPlan(summary="this was asked before, under the same request_id", allowed=record.refusal is None)
        if before.outcome is AuditOutcome.REFUSED:
            return Begun(None, record.refusal, plan)
        return Begun(before.request_number, None, plan)

    async def _refuse(self, asked: Asked, refusal: Failure, tenant: str) -> None:
        record = AuditRecord(
            AuditAction(asked.action.value),
            asked.caller,
            asked.request_id,
            asked.reason,
            asked.saga_id,
            asked.bulk_id,
            asked.expected_seq,
            asked.step,
            refusal=refusal,
            tenant=tenant,
        )
        await self._store.audit(record)

    async def _plan(self, view: SagaView, asked: Asked) -> tuple[OperatorRequested, op.ActionPlan]:
        if view.definition is None or view.state is None:
            stored = view.stored
            raise DefinitionMissing(f"{stored.definition} v{stored.version}")
        given = _given(view.definition, view.state, asked)
        if view.state.is_terminal:
            return given, _refused_plan(ENDED, view.state)
        if asked.expected_seq > view.stored.last_seq:
            text = f"the saga is at version {view.stored.last_seq}, and was never at {asked.expected_seq}; look again"
            return given, _refused_plan(Failure(0, VERSION_CHANGED, text), view.state)
        now_us = await self._store.now_us()
        given = _with_response(view.definition, view.state, given, asked, now_us)
        return given, plan_action(view.definition, view.state, given, now_us, self._policy)


def _given(definition: Definition, state: SagaState, asked: Asked) -> OperatorRequested:
    step = None
    if asked.step is not None:
        names = [each.name for each in definition.steps]
        if asked.step not in names:
            raise StepUnknown(f"{definition.label} has no step {asked.step}; it has {', '.join(names)}")
        step = names.index(asked.step)
    return OperatorRequested(0, asked.action, asked.expected_seq, step, asked.response, asked.caller, asked.reason)


def _with_response(
    definition: Definition, state: SagaState, given: OperatorRequested, asked: Asked, now_us: int
) -> OperatorRequested:
    """With the response checked against its type, or read from JSON. Raises ``PayloadError``."""
    index = given.step if given.step is not None else stuck_step(state)
    if index is None:
        index = next((each for each, step in enumerate(state.steps) if waits(step, now_us)), None)
    if index is None:
        return given
    if asked.response is not None:
        definition.parse_response(index, asked.response)
    elif asked.response_json is not None:
        message = definition.steps[index].method.response()
        try:
            Parse(asked.response_json, message, max_recursion_depth=32)
        except ParseError as error:
            # Where it is wrong, and not what stands there: this text is audited.
            place = ".".join(_FIELD.findall(str(error))) or "its beginning, or a field that the contract does not have"
            raise PayloadError(f"the JSON is no {message.DESCRIPTOR.full_name}: look at {place[:200]}") from None
        return replace(given, response=message.SerializeToString(deterministic=True))
    return given


def _refused_plan(refusal: Failure, state: SagaState) -> op.ActionPlan:
    state_after = saga_pb2.SagaState.ValueType(state.status.value)
    return op.ActionPlan(refusal=failure_message(refusal), state_after=state_after)


def _refusal(plan: op.ActionPlan) -> Failure | None:
    if plan.allowed:
        return None
    return Failure(plan.refusal.code, plan.refusal.reason, plan.refusal.message)


def answer_of(entry: StoredEntry | None) -> Failure | None:
    """What the journal answered to a request: why it was refused, or None. Without an entry its saga had ended."""
    if entry is None:
        return ENDED
    event = decode((), entry.kind, entry.attributes)
    assert isinstance(event, RequestConsumed), "only such entries answer requests"
    return event.refusal
