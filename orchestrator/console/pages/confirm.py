"""The form that asks for a reason before something is done to a participant, a node or a bulk."""

import uuid
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.console.forms import Fields, form_fields
from orchestrator.console.page import console_of, see_other
from orchestrator.console.problems import ApiError, Problem
from orchestrator.console.text import shown

MAX_REASON = 1000


def show_confirmation(
    request: Request,
    fields: Fields,
    problem: Problem | None,
    *,
    title: str,
    target: str,
    what: Sequence[str],
    back: str,
) -> Response:
    """The form. ``what`` says what happens, one sentence each."""
    return console_of(request).render(
        request,
        "confirm.html",
        status=problem.status if problem else 200,
        problem=problem,
        title=title,
        target=shown(target, 256),
        what=what,
        back=back,
        reason=fields.one("reason"),
        request_id=fields.one("request_id")[:128] or str(uuid.uuid4()),
    )


async def confirmed(
    request: Request,
    do: Callable[[str, str], Awaitable[None]],
    show: Callable[[Request, Fields, Problem | None], Awaitable[Response]],
    then: str,
) -> Response:
    """Calls ``do`` with request id and reason, and leads to ``then``; or shows the form again with what is wrong."""
    fields = form_fields(request)
    reason, request_id = fields.one("reason"), fields.one("request_id")[:128]
    if not reason or len(reason) > MAX_REASON or not request_id:
        text = f"Say why, in at most {MAX_REASON} characters: the audit log keeps it."
        return await show(request, fields, Problem(400, "A reason is missing, or too long.", text))
    try:
        await do(request_id, reason)
    except ApiError as error:
        return await show(request, fields, error.problem)
    return see_other(then)
