"""``/sagas``: search; ``/find``: straight to a saga by whatever is at hand."""

import asyncio
import re
from typing import Final

from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.console.forms import address_fields
from orchestrator.console.page import NEVER, SELDOM, console_of, see_other
from orchestrator.console.problems import ApiError
from orchestrator.console.queries import address, read_search
from orchestrator.console.views.rows import group_row, saga_row
from orchestrator.console.words import ATTENTION, SAGA_STATES, word

SAGA_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


async def sagas(request: Request) -> Response:
    """A page of the sagas that the address's fields select, and how many there are."""
    console, fields = console_of(request), address_fields(request)
    search = read_search(fields)
    token = fields.one("page")
    listed, counted = await asyncio.gather(
        console.api.read(
            console.api.stub.SearchSagas,
            pb.SearchSagasRequest(query=search.query, page_size=console.settings.page_size, page_token=token),
        ),
        _count(request, search.query),
    )
    now_s = console.now()
    states = [] if counted is None else [(word(SAGA_STATES, each.state), each.sagas) for each in counted.states]
    return console.render(
        request,
        "sagas.html",
        live=NEVER if token else SELDOM,
        search=search,
        rows=[saga_row(each, now_s) for each in listed.sagas],
        next_address=address((*search.fields, ("page", listed.next_page_token))) if listed.next_page_token else "",
        is_first_page=not token,
        count=None if counted is None else counted.sagas,
        at_least=counted is not None and counted.at_least,
        states=states,
        groups=[] if counted is None else [group_row(each, now_s) for each in counted.attention],
        all_states=list(SAGA_STATES.values()),
        all_attention=list(ATTENTION.values()),
    )


async def _count(request: Request, query: op.SagaQuery) -> pb.CountSagasResponse | None:
    """None if it cannot be counted: the list is worth showing without."""
    api = console_of(request).api
    try:
        return await api.read(api.stub.CountSagas, pb.CountSagasRequest(query=query))
    except ApiError:
        return None


async def find(request: Request) -> Response:
    """A saga id leads to the saga; anything else is taken for the id of the request that started it."""
    text = address_fields(request).one("q")
    if found := SAGA_ID.search(text.lower()):
        return see_other(f"/sagas/{found[0]}")
    return see_other(f"/sagas?{address([('request', text[:128])])}")
