"""``/bulks``: one action on many sagas: first a count and a sample, then it is started and followed."""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Final

from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.console.forms import Fields, address_fields, form_fields
from orchestrator.console.page import NEVER, OFTEN, SELDOM, console_of, see_other
from orchestrator.console.pages.act import ABOUT, DRY_RUN_REASON, MAX_REASON, read_action
from orchestrator.console.pages.confirm import confirmed, show_confirmation
from orchestrator.console.problems import ApiError, Problem
from orchestrator.console.queries import Search, address, read_search
from orchestrator.console.views.bulk import bulk_view, member_row
from orchestrator.console.views.rows import plan_view, saga_row
from orchestrator.console.words import AUDIT_OUTCOMES, action_name

DEFAULT_RATE_PER_S: Final = 50.0
DEFAULT_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form asks for."""

    search: Search
    action: op.OperatorAction.ValueType
    step: str
    response_json: str
    reason: str
    rate_per_s: float
    max_sagas: int
    request_id: str

    def message(self, reason: str, *, validate_only: bool) -> pb.StartBulkRequest:
        """The request."""
        action = op.BulkAction(action=self.action, step=self.step, response_json=self.response_json)
        return pb.StartBulkRequest(
            request_id=self.request_id,
            query=self.search.query,
            action=action,
            reason=reason,
            validate_only=validate_only,
            rate_per_s=self.rate_per_s,
            max_sagas=self.max_sagas,
        )


def _asked(fields: Fields) -> Asked:
    return Asked(
        search=read_search(fields),
        action=read_action(fields) if fields.one("action") else op.OPERATOR_ACTION_UNSPECIFIED,
        step=fields.one("at_step")[:64],
        response_json=fields.one("response_json"),
        reason=fields.one("why"),
        rate_per_s=_between(fields.one("rate"), DEFAULT_RATE_PER_S, 0.1, 1000),
        max_sagas=round(_between(fields.one("max"), DEFAULT_MAX, 1, 100_000)),
        request_id=fields.one("bulk_request_id")[:128] or str(uuid.uuid4()),
    )


def _between(text: str, default: float, least: float, most: float) -> float:
    try:
        number = float(text) if text else default
    except ValueError:
        number = default
    return min(max(number, least), most) if number == number else default  # noqa: PLR0124  (not a number)


async def bulks(request: Request) -> Response:
    """All of them, newest first."""
    console = console_of(request)
    token = address_fields(request).one("page")
    question = pb.ListBulksRequest(page_size=console.settings.page_size, page_token=token)
    answer = await console.api.read(console.api.stub.ListBulks, question)
    now_s = console.now()
    return console.render(
        request,
        "bulks.html",
        live=NEVER if token else SELDOM,
        bulks=[bulk_view(bulk, now_s) for bulk in answer.bulks],
        next_address=address([("page", answer.next_page_token)]),
    )


async def plan(request: Request) -> Response:
    """The form; with an action chosen, the dry run as well."""
    console_of(request).require("StartBulk")
    return await _show(request, _asked(address_fields(request)), None, 200)


async def start(request: Request) -> Response:
    """Starts it, or shows the dry run: as the button says."""
    console = console_of(request)
    fields = form_fields(request)
    asked = _asked(fields)
    if fields.one("do") != "act" or asked.action == op.OPERATOR_ACTION_UNSPECIFIED:
        return await _show(request, asked, None, 200)
    if not asked.reason or len(asked.reason) > MAX_REASON:
        text = f"Say why, in at most {MAX_REASON} characters: the audit log keeps it."
        return await _show(request, asked, Problem(400, "A reason is missing, or too long.", text), 400)
    try:
        answer = await console.api.act(console.api.stub.StartBulk, asked.message(asked.reason, validate_only=False))
    except ApiError as error:
        return await _show(request, asked, error.problem, error.problem.status)
    return see_other(f"/bulks/{answer.bulk.bulk_id}")


async def _show(request: Request, asked: Asked, problem: Problem | None, status: int) -> Response:
    console, now_s = console_of(request), console_of(request).now()
    dry_run = None
    if asked.action != op.OPERATOR_ACTION_UNSPECIFIED and asked.search.fields:
        try:
            question = asked.message(DRY_RUN_REASON, validate_only=True)
            question.request_id = str(uuid.uuid4())
            dry_run = await console.api.act(console.api.stub.StartBulk, question)
        except ApiError as error:
            problem = problem or error.problem
    return console.render(
        request,
        "bulk_new.html",
        status=status,
        problem=problem,
        asked=asked,
        search=asked.search,
        actions=[(op.OperatorAction.Name(each).removeprefix("OPERATOR_ACTION_"), each, ABOUT[each]) for each in ABOUT],
        action_name=action_name(asked.action) if asked.action else "",
        about=ABOUT.get(asked.action, ""),
        members=dry_run.bulk.members if dry_run else 0,
        left_out=dry_run.bulk.left_out if dry_run else 0,
        sample=[(saga_row(each.saga, now_s), plan_view(each.plan)) for each in dry_run.sample] if dry_run else [],
        is_planned=dry_run is not None,
    )


async def bulk(request: Request) -> Response:
    """How far one is, and its members."""
    console, fields = console_of(request), address_fields(request)
    bulk_id, token = request.path_params["bulk_id"], fields.one("page")
    outcome = fields.one("outcome")
    chosen = next(
        (value for value, each in AUDIT_OUTCOMES.items() if each.key == outcome), op.AUDIT_OUTCOME_UNSPECIFIED
    )
    question = pb.ListBulkMembersRequest(
        bulk_id=bulk_id, page_size=console.settings.page_size, page_token=token, outcome=chosen
    )
    answer, members = await asyncio.gather(
        console.api.read(console.api.stub.GetBulk, pb.GetBulkRequest(bulk_id=bulk_id)),
        console.api.read(console.api.stub.ListBulkMembers, question),
    )
    now_s = console.now()
    return console.render(
        request,
        "bulk.html",
        live=OFTEN if answer.bulk.state == op.BULK_STATE_RUNNING else NEVER,
        bulk=bulk_view(answer.bulk, now_s),
        members=[member_row(member, now_s) for member in members.members],
        outcome=outcome,
        outcomes=list(AUDIT_OUTCOMES.values()),
        next_address=address([("outcome", outcome), ("page", members.next_page_token)])
        if members.next_page_token
        else "",
    )


async def ask_cancel(request: Request) -> Response:
    """The form that stops one."""
    console_of(request).require("CancelBulk")
    return await _show_cancel(request, Fields(()), None)


async def cancel(request: Request) -> Response:
    """Stops one."""
    console, bulk_id = console_of(request), request.path_params["bulk_id"]

    async def do(request_id: str, reason: str) -> None:
        message = pb.CancelBulkRequest(request_id=request_id, bulk_id=bulk_id, reason=reason)
        await console.api.act(console.api.stub.CancelBulk, message)

    return await confirmed(request, do, _show_cancel, f"/bulks/{bulk_id}")


async def _show_cancel(request: Request, fields: Fields, problem: Problem | None) -> Response:
    bulk_id = request.path_params["bulk_id"]
    what = ["Begins no more members. Those that are begun are still decided; those that are done stay as they are."]
    return show_confirmation(
        request, fields, problem, title="Stop the bulk repair", target=bulk_id, what=what, back=f"/bulks/{bulk_id}"
    )
