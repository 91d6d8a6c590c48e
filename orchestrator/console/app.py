"""The console as an ASGI application."""

import time
import traceback
from collections.abc import Callable
from typing import Final

import grpc
import structlog
from jinja2 import Environment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from orchestrator.console.api import OperatorApi
from orchestrator.console.guard import Guard
from orchestrator.console.page import HERE, Console, console_of, load_templates
from orchestrator.console.pages import act, audit, bulks, cluster, overview, saga, sagas
from orchestrator.console.problems import ApiError, Problem
from orchestrator.console.settings import ConsoleSettings

ROUTES: Final = (
    Route("/", overview.overview),
    Route("/find", sagas.find),
    Route("/sagas", sagas.sagas),
    Route("/sagas/{saga_id}", saga.saga),
    Route("/sagas/{saga_id}/act", act.show),
    Route("/sagas/{saga_id}/act", act.act, methods=["POST"]),
    Route("/bulks", bulks.bulks),
    Route("/bulks/new", bulks.plan),
    Route("/bulks/new", bulks.start, methods=["POST"]),
    Route("/bulks/{bulk_id}", bulks.bulk),
    Route("/bulks/{bulk_id}/cancel", bulks.ask_cancel),
    Route("/bulks/{bulk_id}/cancel", bulks.cancel, methods=["POST"]),
    Route("/participants", cluster.participants),
    Route("/participants/hold", cluster.ask_hold),
    Route("/participants/hold", cluster.hold, methods=["POST"]),
    Route("/participants/release", cluster.ask_hold),
    Route("/participants/release", cluster.hold, methods=["POST"]),
    Route("/nodes", cluster.nodes),
    Route("/nodes/{node_id}/drain", cluster.ask_drain),
    Route("/nodes/{node_id}/drain", cluster.drain, methods=["POST"]),
    Route("/definitions", cluster.definitions),
    Route("/audit", audit.audit),
    Mount("/static", StaticFiles(directory=HERE / "static")),
)
_log = structlog.get_logger(__name__)


def create_app(
    channel: grpc.aio.Channel,
    settings: ConsoleSettings,
    *,
    now: Callable[[], float] = time.time,
    templates: Environment | None = None,
) -> ASGIApp:
    """``channel`` leads to a node; it stays the caller's. ``now`` is in seconds since 1970."""
    app = Starlette(
        routes=ROUTES,
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _defect},
    )
    app.state.console = Console(OperatorApi(channel, settings), settings, now, templates or load_templates())
    return Guard(app, settings)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return console_of(request).problem(request, error.problem)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        problem = Problem(404, "There is no such page.", "Begin with the overview.")
    else:
        problem = Problem(error.status_code, error.detail, "Use the page's own buttons.")
    return console_of(request).problem(request, problem)


async def _defect(request: Request, error: Exception) -> Response:
    page = getattr(request.scope.get("endpoint"), "__name__", "")
    frames = "".join(traceback.format_tb(error.__traceback__))  # without the error's text, which may quote payload
    _log.error("console_failed", page=page, error=type(error).__qualname__, traceback=frames)
    problem = Problem(
        500, "This page has a defect.", "The node's log names it. sagactl can do all that the console can."
    )
    return console_of(request).problem(request, problem)
