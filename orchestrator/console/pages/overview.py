"""``/``: what needs attention first."""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from saga.v1 import operator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.console.forms import address_fields
from orchestrator.console.page import SELDOM, console_of
from orchestrator.console.views.overview import overview_view

WINDOWS: Final = {"1h": 3600, "3h": 3 * 3600, "6h": 6 * 3600, "24h": 24 * 3600}
DEFAULT_WINDOW: Final = "3h"
BUCKETS: Final = 60


async def overview(request: Request) -> Response:
    """Now, and the last hours."""
    console, fields = console_of(request), address_fields(request)
    window = fields.one("window") if fields.one("window") in WINDOWS else DEFAULT_WINDOW
    definition = fields.one("definition")[:64]
    question = pb.GetOverviewRequest(window=Duration(seconds=WINDOWS[window]), buckets=BUCKETS, definition=definition)
    answer = await console.api.read(console.api.stub.GetOverview, question)
    return console.render(
        request,
        "overview.html",
        live=SELDOM,
        view=overview_view(answer, console.now()),
        windows=WINDOWS,
        window=window,
        definition=definition,
    )
