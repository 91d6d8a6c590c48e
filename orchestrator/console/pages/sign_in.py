"""``/sign-in`` and ``/sign-out``."""

import math
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.console.access import cookies
from orchestrator.console.access.entrance import bearer
from orchestrator.console.access.returning import SIGN_IN, own_path
from orchestrator.console.forms import address_fields, form_fields
from orchestrator.console.page import console_of, see_other
from orchestrator.console.problems import ApiError, ForbiddenError, Problem, TokenRefusedError

WHY: Final = {
    "expired": "Your session has ended. Sign in again to go on where you were.",
    "refused": "The node no longer accepts your token: it has expired, or the policy has changed. Sign in anew.",
    "out": "You have signed out.",
}
_OWN: Final = frozenset({"", "none", "same-origin"})
_log = structlog.get_logger(__name__)


async def ask(request: Request) -> Response:
    """The form; or straight on, for whoever has signed in or need not."""
    fields = address_fields(request)
    then = own_path(fields.one("next"))
    console = console_of(request)
    if not console.settings.sign_in or console.viewer.name:
        return see_other(then)
    response = _form(request, then, None, fields.one("why"))
    if request.headers.get("sec-fetch-site", "") not in _OWN:
        # A link on another site led here, and so the browser kept the cookie back. From a page of our own it does not.
        response.headers["Refresh"] = f"0; url={then}"
    return response


async def sign_in(request: Request) -> Response:
    """Takes a token, asks the node whose it is, and keeps it under a new id."""
    console, fields = console_of(request), form_fields(request)
    then = own_path(fields.one("next"))
    if not console.settings.sign_in:
        return see_other(then)
    client = request.client.host if request.client is not None else ""
    wait_s = math.ceil(console.entrance.pace.wait_s(client))
    if wait_s:
        late = Problem(429, "That was tried too often.", f"Wait {wait_s} s, then try again.")
        response = _form(request, then, late, "")
        response.headers["Retry-After"] = str(wait_s)
        return response
    token = bearer(fields.one("token"))
    if token is None:
        text = "It has letters, digits and a few signs, and no blanks. Copy all of it."
        return _form(request, then, Problem(400, "This is no token.", text), "")
    try:
        session_id, viewer = await console.entrance.sign_in(token, console.api)
    except TokenRefusedError as error:
        _log.warning("console_sign_in_refused", client=client, reason=error.problem.reason)
        text = "It may have expired, or be meant for another system. Get a new one."
        told = Problem(401, "The node does not accept this token.", text, error.problem.told, error.problem.reason)
        return _form(request, then, told, "")
    except ForbiddenError as error:
        told = Problem(403, "The policy of the node does not know you.", "Ask whoever keeps it.", error.problem.told)
        return _form(request, then, told, "")
    except ApiError as error:
        return _form(request, then, error.problem, "")
    console.entrance.forget(request)  # one that was there before, or was planted
    _log.info("console_signed_in", client=client, viewer=viewer.name)
    answer = see_other(then)
    cookies.give(answer, request, session_id)
    return answer


async def sign_out(request: Request) -> Response:
    """Ends the session here and in the browser."""
    console = console_of(request)
    if not console.viewer.has_session:
        return see_other("/")
    console.entrance.forget(request)
    _log.info("console_signed_out", viewer=console.viewer.name)
    answer = see_other(f"{SIGN_IN}?why=out")
    cookies.take_back(answer, request)
    return answer


def _form(request: Request, then: str, problem: Problem | None, why: str) -> Response:
    response = console_of(request).render(
        request,
        "sign_in.html",
        status=problem.status if problem else 200,
        problem=problem,
        then=then,
        word=WHY.get(why, ""),
    )
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
