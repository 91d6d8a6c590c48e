"""The console as an ASGI application."""

import time
from collections.abc import Callable
from typing import Final

import grpc
import structlog
from jinja2 import Environment
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from contracts.tracebacks import frames, kinds
from orchestrator.console.access.entrance import Entrance
from orchestrator.console.access.gate import Gate, Handlers, to_sign_in
from orchestrator.console.access.returning import SIGN_IN, SIGN_OUT
from orchestrator.console.api import OperatorApi
from orchestrator.console.guard import Guard
from orchestrator.console.page import HERE, Console, console_of, load_templates
from orchestrator.console.pages import act, audit, bulks, cluster, overview, saga, sagas, sign_in
from orchestrator.console.problems import ApiError, ForbiddenError, Problem, TokenRefusedError
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
    Route(SIGN_IN, sign_in.ask),
    Route(SIGN_IN, sign_in.sign_in, methods=["POST"]),
    Route(SIGN_OUT, sign_in.sign_out, methods=["POST"]),
    Mount("/static", StaticFiles(directory=HERE / "static")),
)
_log = structlog.get_logger(__name__)


def create_app(
    channel: grpc.aio.Channel,
    settings: ConsoleSettings,
    *,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    templates: Environment | None = None,
) -> ASGIApp:
    """``channel`` leads to a node; it stays the caller's. ``now`` is in seconds since 1970, ``monotonic`` in seconds of
    a clock that never jumps.
    """
    handlers: Handlers = {ApiError: _api_error, ForbiddenError: _forbidden, TokenRefusedError: _token_refused}
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Gate, handlers)],
        exception_handlers={**handlers, HTTPException: _http_error, Exception: _defect},
    )
    app.state.console = Console(
        OperatorApi(SagaOperatorServiceStub(channel), settings),
        settings,
        now,
        templates or load_templates(),
        Entrance(settings, now, monotonic),
    )
    return Guard(app, settings)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return console_of(request).problem(request, error.problem)


async def _forbidden(request: Request, error: Exception) -> Response:
    assert isinstance(error, ForbiddenError)
    return console_of(request).forbidden(request, error)


async def _token_refused(request: Request, error: Exception) -> Response:
    """Whatever the page was about: its viewer is not known any more."""
    assert isinstance(error, TokenRefusedError)
    console = console_of(request)
    console.entrance.forget(request)
    if console.entrance.is_handed_over(request):
        told = "The proxy in front of this console handed over a token that the node does not accept. Sign in there."
        problem = Problem(401, "The node does not know who you are.", told, error.problem.told, error.problem.reason)
        return console.problem(request, problem)
    return to_sign_in(request, "refused")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        problem = Problem(404, "There is no such page.", "Begin with the overview.")
    else:
        problem = Problem(error.status_code, error.detail, "Use the page's own buttons.")
    return console_of(request).problem(request, problem)


async def _defect(request: Request, error: Exception) -> Response:
    page = getattr(request.scope.get("endpoint"), "__name__", "")
    _log.error("console_failed", page=page, error=kinds(error), traceback=frames(error))
    problem = Problem(
        500, "This page has a defect.", "The node's log names it. sagactl can do all that the console can."
    )
    return console_of(request).problem(request, problem)
