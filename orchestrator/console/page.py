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
from orchestrator.console.api import OperatorApi
from orchestrator.console.problems import Problem
from orchestrator.console.settings import ConsoleSettings

HERE: Final = Path(__file__).parent
NEVER: Final = 0
OFTEN: Final = 1
"""One saga, one bulk: reads by a key."""
SELDOM: Final = 3
"""Lists, counts and overviews: they cost the database more."""
NAVIGATION: Final = (
    ("/", "Overview"),
    ("/sagas", "Sagas"),
    ("/bulks", "Bulk repair"),
    ("/participants", "Participants"),
    ("/nodes", "Nodes"),
    ("/definitions", "Definitions"),
    ("/audit", "Audit"),
)


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
    """Shared by all handlers. ``now`` is in seconds since 1970."""

    api: OperatorApi
    settings: ConsoleSettings
    now: Callable[[], float]
    templates: Environment

    def render(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """The page. ``live`` among the values: after how many refresh intervals it looks again; 0 is never."""
        path = request.url.path
        here = next((link for link, _ in reversed(NAVIGATION) if path == link or path.startswith(f"{link}/")), "")
        query = request.url.query
        # One slash: with two, or one and its like, a link to itself would lead to another host.
        own = quote("/" + path.lstrip("/\\"))
        live = values.setdefault("live", NEVER)
        shared: dict[str, Any] = {
            "problem": None,
            "here": here,
            "self_address": f"{own}?{query}" if query else own,
            "refresh_ms": round(self.settings.refresh_s * 1000 * (live or OFTEN)),
        }
        html = self.templates.get_template(template).render(shared | values)
        return HTMLResponse(html, status)

    def problem(self, request: Request, problem: Problem) -> HTMLResponse:
        """The page of an error."""
        return self.render(request, "problem.html", status=problem.status, problem=problem)


def console_of(request: Request) -> Console:
    """The console that serves the request."""
    return cast("Console", request.app.state.console)


def see_other(address: str) -> RedirectResponse:
    """After something was done: a page that can be loaded again without doing it again."""
    return RedirectResponse(address, 303)
