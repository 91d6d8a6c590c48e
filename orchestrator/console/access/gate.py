"""ASGI middleware that stands before every page: no page without a known viewer, no post without that viewer's form."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.console.access import cookies
from orchestrator.console.access.entrance import Admitted, is_own_form
from orchestrator.console.access.returning import SIGN_IN, sign_in_address
from orchestrator.console.access.viewer import EVERYBODY
from orchestrator.console.forms import read_form
from orchestrator.console.guard import SAFE
from orchestrator.console.page import console_of, see_other
from orchestrator.console.problems import ApiError, Problem

Handlers: TypeAlias = Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]
FORM_TOKEN: Final = "form_token"  # noqa: S105  (the field's name)


class Gate:
    """Puts into ``request.state`` the viewer's own console, and the fields of a form that was posted."""

    def __init__(self, app: ASGIApp, handlers: Handlers) -> None:
        """``handlers`` answer what is raised here, as they do what a page raises."""
        self._app: Final = app
        self._handlers: Final = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or str(scope["path"]).startswith("/static/"):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await _stopped(request)
        except tuple(self._handlers) as error:
            answer = await self._handlers[type(error)](request, error)
        await (answer or self._app)(scope, receive, send)


async def _stopped(request: Request) -> Response | None:
    """What to answer instead of the page, if anything. Raises what the handlers know."""
    console = console_of(request)
    is_sign_in = request.url.path == SIGN_IN
    admitted: Admitted | None = None
    if not console.settings.sign_in:
        request.state.console = replace(console, viewer=EVERYBODY)
    else:
        admitted = await console.entrance.admit(request, console.api)
        if admitted is None and not is_sign_in:
            return to_sign_in(request, "expired" if cookies.is_sent(request) else "")
        if admitted is not None:
            api = console.api.as_bearer(admitted.token)
            request.state.console = replace(console, api=api, viewer=admitted.viewer)
    if request.method not in SAFE:
        fields = await read_form(request, console.settings.max_form_bytes)
        request.state.fields = fields
        # Whoever signs in has no session yet whose token the form could hold; the guard has seen who sent it.
        if admitted is not None and not is_sign_in and not is_own_form(fields.one(FORM_TOKEN), admitted.viewer):
            text = "Nothing was done. Open the page anew and send it again: it may be of an earlier session."
            raise ApiError(Problem(403, "This form was not made for you.", text))
    return None


def to_sign_in(request: Request, why: str) -> Response:
    """Leads to the sign-in page and back. ``why`` is a word that that page knows, or empty."""
    address = sign_in_address(request, why)
    response: Response
    if "hx-request" in request.headers:  # an open page looks again: the whole of it goes, not a part
        response = Response(status_code=401, headers={"HX-Redirect": address, "WWW-Authenticate": "Bearer"})
    else:
        response = see_other(address)
    if cookies.is_sent(request):  # a link on another site has the browser keep back a cookie that is good
        cookies.take_back(response, request)
    return response
