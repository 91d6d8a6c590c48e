"""``/sagas/{id}/act``: an action on one saga. First what it would do, exactly; then, with a reason, it is done."""

import uuid
from dataclasses import dataclass
from typing import Any, Final

from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from contracts.errors import Reason
from orchestrator.console.api import OperatorApi
from orchestrator.console.forms import Fields, address_fields, form_fields
from orchestrator.console.page import Console, console_of, see_other
from orchestrator.console.problems import ApiError, Problem
from orchestrator.console.queries import address
from orchestrator.console.roles import ACTIONS
from orchestrator.console.views.rows import PlanView, plan_view
from orchestrator.console.views.saga import saga_head
from orchestrator.console.words import action_name

DRY_RUN_REASON: Final = "dry run"
"""The API demands a reason even where nothing is stored."""
MAX_REASON: Final = 1000

ABOUT: Final = {
    op.OPERATOR_ACTION_RETRY: "Try the step again now, with a fresh budget.",
    op.OPERATOR_ACTION_RETRY_COMPENSATION: "Try the compensation again now, with a fresh budget.",
    op.OPERATOR_ACTION_SKIP_STEP: (
        "Go on without the step, or without its undo. It is settled first, so that no late call lands after it."
    ),
    op.OPERATOR_ACTION_FORCE_COMPENSATION: "Turn the saga around: everything that may have taken effect is undone.",
    op.OPERATOR_ACTION_RESOLVE: "End the stuck saga as settled by hand. Say in the reason what was done instead.",
    op.OPERATOR_ACTION_PAUSE: "Begin no more calls; those under way end. Timers and the deadline wait too.",
    op.OPERATOR_ACTION_RESUME: "Go on after the pause; a deadline that passed meanwhile counts then.",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form asks for. ``version`` is the saga's as the operator saw it; 0 before there was a look."""

    saga_id: str
    action: op.OperatorAction.ValueType
    step: str
    reason: str
    response_json: str
    version: int
    request_id: str


def read_action(fields: Fields) -> op.OperatorAction.ValueType:
    """The action that the fields name. Raises :class:`ApiError`."""
    try:
        action = op.OperatorAction.Value(f"OPERATOR_ACTION_{fields.one('action')}")
    except ValueError:
        action = op.OPERATOR_ACTION_UNSPECIFIED
    if action not in ABOUT:
        raise ApiError(Problem(404, "There is no such action.", "Choose one of those that the saga's page offers."))
    return action


def _asked(saga_id: str, fields: Fields) -> Asked:
    version = fields.one("version", "0")
    return Asked(
        saga_id=saga_id,
        action=read_action(fields),
        step=fields.one("step")[:64],
        reason=fields.one("reason"),
        response_json=fields.one("response_json"),
        version=int(version) if len(version) < 19 and version.isascii() and version.isdigit() else 0,
        request_id=fields.one("request_id")[:128] or str(uuid.uuid4()),
    )


async def show(request: Request) -> Response:
    """The dry run, and the form."""
    asked = _asked(request.path_params["saga_id"], address_fields(request))
    console_of(request).require(ACTIONS[asked.action])
    return await _show(request, asked, None, 200)


async def act(request: Request) -> Response:
    """Does it, or shows the dry run again: as the button says."""
    console = console_of(request)
    fields = form_fields(request)
    asked = _asked(request.path_params["saga_id"], fields)
    if fields.one("do") != "act":
        return await _show(request, asked, None, 200)
    if not asked.reason or len(asked.reason) > MAX_REASON:
        text = f"Say why, in at most {MAX_REASON} characters: the audit log keeps it."
        return await _show(request, asked, Problem(400, "A reason is missing, or too long.", text), 400)
    try:
        await _call(console.api, asked, validate_only=False)
    except ApiError as error:
        return await _show(request, asked, error.problem, error.problem.status)
    return see_other(f"/sagas/{asked.saga_id}?{address([('done', asked.request_id)])}")


async def _show(request: Request, asked: Asked, problem: Problem | None, status: int) -> Response:
    console = console_of(request)
    explained = await console.api.read(console.api.stub.ExplainSaga, pb.ExplainSagaRequest(saga_id=asked.saga_id))
    newest = explained.explanation.version or explained.saga.last_seq
    version = asked.version or newest
    plan, dry_run_problem = await _plan(console, asked, version, explained.explanation)
    return console.render(
        request,
        "act.html",
        status=status,
        head=saga_head(explained.saga, console.now(), explained.explanation.attention),
        asked=asked,
        name=action_name(asked.action),
        action=op.OperatorAction.Name(asked.action).removeprefix("OPERATOR_ACTION_"),
        about=ABOUT[asked.action],
        needs_response=asked.action == op.OPERATOR_ACTION_SKIP_STEP,
        version=version,
        newest=newest,
        plan=plan,
        problem=problem or dry_run_problem,
        is_moved=version != newest,
        is_outdated=version != newest and not (problem and problem.reason == Reason.OUTCOME_PENDING),
        look_again=address(
            [
                ("action", op.OperatorAction.Name(asked.action).removeprefix("OPERATOR_ACTION_")),
                ("step", asked.step),
                ("reason", asked.reason[:MAX_REASON]),
            ]
        ),
    )


async def _plan(
    console: Console, asked: Asked, version: int, explanation: op.Explanation
) -> tuple[PlanView | None, Problem | None]:
    if asked.action == op.OPERATOR_ACTION_SKIP_STEP and not asked.response_json:
        offered = (each for each in explanation.options if each.action == asked.action and each.step == asked.step)
        option = next(offered, None)
        if option is not None:
            return plan_view(option.plan), None
    asked_now = Asked(
        asked.saga_id, asked.action, asked.step, DRY_RUN_REASON, asked.response_json, version, str(uuid.uuid4())
    )
    try:
        return plan_view((await _call(console.api, asked_now, validate_only=True)).plan), None
    except ApiError as error:
        return None, error.problem


async def _call(api: OperatorApi, asked: Asked, *, validate_only: bool) -> Any:
    """The response of the action's method. Raises :class:`ApiError`."""
    common: dict[str, Any] = {
        "request_id": asked.request_id,
        "saga_id": asked.saga_id,
        "expected_version": asked.version,
        "reason": asked.reason,
        "validate_only": validate_only,
    }
    step: dict[str, Any] = {**common, "step": asked.step}
    stub = api.stub
    match asked.action:
        case op.OPERATOR_ACTION_RETRY:
            return await api.act(stub.RetryNow, pb.RetryNowRequest(**step))
        case op.OPERATOR_ACTION_RETRY_COMPENSATION:
            return await api.act(stub.RetryCompensation, pb.RetryCompensationRequest(**step))
        case op.OPERATOR_ACTION_SKIP_STEP:
            if asked.response_json:
                step["response_json"] = asked.response_json
            return await api.act(stub.SkipStep, pb.SkipStepRequest(**step))
        case op.OPERATOR_ACTION_FORCE_COMPENSATION:
            return await api.act(stub.ForceCompensation, pb.ForceCompensationRequest(**common))
        case op.OPERATOR_ACTION_RESOLVE:
            return await api.act(stub.ResolveSaga, pb.ResolveSagaRequest(**common))
        case op.OPERATOR_ACTION_PAUSE:
            return await api.act(stub.PauseSaga, pb.PauseSagaRequest(**common))
        case _:
            return await api.act(stub.ResumeSaga, pb.ResumeSagaRequest(**common))
