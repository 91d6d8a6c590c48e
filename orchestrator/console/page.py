"""What every page has at hand: the API, the clock, the templates; and how a handler's answer becomes HTML."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from orchestrator.console import words
from orchestrator.console.access.entrance import Entrance
from orchestrator.console.access.viewer import NOBODY, Viewer
from orchestrator.console.api import OperatorApi
from orchestrator.console.problems import ForbiddenError, Problem
from orchestrator.console.roles import ROLES
from orchestrator.console.settings import ConsoleSettings

HERE: Final = Path(__file__).parent
NEVER: Final = 0
OFTEN: Final = 1
"""One saga, one bulk: reads by a key."""
SELDOM: Final = 3
"""Lists, counts and overviews: they cost the database more."""
NAVIGATION: Final = (
    ("/", "Overview", "GetOverview"),
    ("/sagas", "Sagas", "SearchSagas"),
    ("/bulks", "Bulk repair", "ListBulks"),
    ("/participants", "Participants", "ListParticipants"),
    ("/nodes", "Nodes", "ListNodes"),
    ("/definitions", "Definitions", "ListDefinitions"),
    ("/audit", "Audit", "ListAudit"),
)
"""Path, name, and the method that the page needs."""


def load_templates() -> Environment:
    """All templates, compiled: the event loop is the node's own, and has better things to do later."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters["thousands"] = lambda number: f"{number:,}"
    templates.globals.update(navigation=NAVIGATION, words=words)
    for name in templates.list_templates():
        templates.get_template(name)
    return templates


@dataclass(frozen=True, slots=True)
class Console:
    """What a handler works with: one for each request, its API and viewer being those of whoever sent it.

    ``now`` is in seconds since 1970.
    """

    api: OperatorApi
    settings: ConsoleSettings
    now: Callable[[], float]
    templates: Environment
    entrance: Entrance
    viewer: Viewer = NOBODY

    def render(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """The page. ``live`` among the values: after how many refresh intervals it looks again; 0 is never."""
        path = request.url.path
        here = next((link for link, *_ in reversed(NAVIGATION) if path == link or path.startswith(f"{link}/")), "")
        query = request.url.query
        # One slash: with two, or one and its like, a link to itself would lead to another host.
        own = quote("/" + path.lstrip("/\\"))
        live = values.setdefault("live", NEVER)
        shared: dict[str, Any] = {
            "problem": None,
            "here": here,
            "viewer": self.viewer,
            "self_address": f"{own}?{query}" if query else own,
            "refresh_ms": round(self.settings.refresh_s * 1000 * (live or OFTEN)),
        }
        html = self.templates.get_template(template).render(shared | values)
        return HTMLResponse(html, status)

    def problem(self, request: Request, problem: Problem) -> HTMLResponse:
        """The page of an error."""
        return self.render(request, "problem.html", status=problem.status, problem=problem)

    def forbidden(self, request: Request, error: ForbiddenError) -> HTMLResponse:
        """The page of what the viewer may not do, and of the role that it would take."""
        role = "" if self.viewer.may(error.method) else ROLES.get(error.method, "")
        return self.render(request, "forbidden.html", status=error.problem.status, told=error.problem.told, role=role)

    def require(self, method: str) -> None:
        """Raises :class:`ForbiddenError` now where the node would refuse it in the end, after a form was filled in."""
        if not self.viewer.may(method):
            raise ForbiddenError(Problem(403, "You may not do that.", "Ask someone who may."), method)


def console_of(request: Request) -> Console:
    """The console that serves the request; before the gate has let it in, one that nobody has signed in to."""
    return cast("Console", getattr(request.state, "console", None) or request.app.state.console)


def see_other(address: str) -> RedirectResponse:
    """After something was done: a page that can be loaded again without doing it again."""
    return RedirectResponse(address, 303)
