"""``/audit``: who asked for what, why, and what became of it."""

from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.console.forms import Fields, address_fields
from orchestrator.console.page import NEVER, SELDOM, console_of
from orchestrator.console.problems import ApiError, Problem
from orchestrator.console.queries import address
from orchestrator.console.times import parse_time
from orchestrator.console.views.audit import audit_row
from orchestrator.console.words import action_name

ACTIONS = {
    op.OperatorAction.Name(each).removeprefix("OPERATOR_ACTION_"): each for each in op.OperatorAction.values()[1:]
}
FIELDS = ("saga", "caller", "action", "bulk", "from", "to", "members")


def _filter(fields: Fields) -> pb.AuditFilter:
    chosen = pb.AuditFilter(
        saga_id=fields.one("saga")[:36],
        caller=fields.one("caller")[:256],
        bulk_id=fields.one("bulk")[:36],
        action=ACTIONS.get(fields.one("action"), op.OPERATOR_ACTION_UNSPECIFIED),
        bulk_members=fields.one("members") == "yes",
    )
    for name, target in (("from", chosen.time_from), ("to", chosen.time_to)):
        if text := fields.one(name):
            at_s = parse_time(text)
            if at_s is None:
                what = "Please write a time such as 2026-11-24T03:10 (UTC)."
                raise ApiError(Problem(400, f"The field “{name}” is not right.", what))
            target.CopyFrom(Timestamp(seconds=int(at_s)))
    return chosen


async def audit(request: Request) -> Response:
    """A page of the log."""
    console, fields = console_of(request), address_fields(request)
    token = fields.one("page")
    question = pb.ListAuditRequest(filter=_filter(fields), page_size=console.settings.page_size, page_token=token)
    answer = await console.api.read(console.api.stub.ListAudit, question)
    chosen = [(name, fields.one(name)) for name in FIELDS]
    return console.render(
        request,
        "audit.html",
        live=NEVER if token else SELDOM,
        rows=[audit_row(entry, console.now()) for entry in answer.entries],
        chosen=dict(chosen),
        actions=[(name, action_name(value)) for name, value in ACTIONS.items()],
        next_address=address((*chosen, ("page", answer.next_page_token))) if answer.next_page_token else "",
    )
