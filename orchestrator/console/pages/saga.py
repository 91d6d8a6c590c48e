"""``/sagas/{id}``: one saga."""

import asyncio

from saga.v1 import operator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.console.forms import address_fields
from orchestrator.console.page import NEVER, OFTEN, console_of
from orchestrator.console.views.saga import explanation_view, saga_page


async def saga(request: Request) -> Response:
    """Everything about it. ``done`` in the address names the request whose outcome is told first."""
    console = console_of(request)
    saga_id = request.path_params["saga_id"]
    answer, explained = await asyncio.gather(
        console.api.read(console.api.stub.GetSagaDetails, pb.GetSagaDetailsRequest(saga_id=saga_id)),
        console.api.read(console.api.stub.ExplainSaga, pb.ExplainSagaRequest(saga_id=saga_id)),
    )
    now_s = console.now()
    page = saga_page(answer.details, now_s)
    done = address_fields(request).one("done")
    return console.render(
        request,
        "saga.html",
        live=NEVER if page.head.ended else OFTEN,
        page=page,
        head=page.head,
        explanation=explanation_view(explained.explanation, saga_id, now_s),
        asked=next((entry for entry in page.audit if done and entry.request_id == done), None),
    )
