"""``/participants``, ``/nodes`` and ``/definitions``."""

from saga.v1 import operator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.console.forms import Fields, address_fields
from orchestrator.console.page import OFTEN, console_of
from orchestrator.console.pages.confirm import confirmed, show_confirmation
from orchestrator.console.problems import Problem
from orchestrator.console.views.cluster import definition_row, node_row, participant_row

MAX_SERVICE = 256


async def participants(request: Request) -> Response:
    """Every service that steps call."""
    console = console_of(request)
    answer = await console.api.read(console.api.stub.ListParticipants, pb.ListParticipantsRequest())
    rows = [participant_row(each, console.now()) for each in answer.participants]
    return console.render(request, "participants.html", live=OFTEN, rows=rows, node_id=answer.node_id)


async def ask_hold(request: Request) -> Response:
    """The form that holds or releases a participant."""
    console_of(request).require("ReleaseParticipant" if _is_release(request) else "HoldParticipant")
    return await _show_hold(request, address_fields(request), None)


async def hold(request: Request) -> Response:
    """Holds or releases a participant."""
    console = console_of(request)
    service = address_fields(request).one("service")[:MAX_SERVICE]

    async def do(request_id: str, reason: str) -> None:
        if _is_release(request):
            release = pb.ReleaseParticipantRequest(request_id=request_id, service=service, reason=reason)
            await console.api.act(console.api.stub.ReleaseParticipant, release)
        else:
            held = pb.HoldParticipantRequest(request_id=request_id, service=service, reason=reason)
            await console.api.act(console.api.stub.HoldParticipant, held)

    return await confirmed(request, do, _show_hold, "/participants")


def _is_release(request: Request) -> bool:
    return request.url.path.endswith("/release")


async def _show_hold(request: Request, fields: Fields, problem: Problem | None) -> Response:
    service = address_fields(request).one("service")[:MAX_SERVICE]
    if _is_release(request):
        title = "Release the participant"
        what = [
            "Calls to it are made again, on every node.",
            "Steps that were blocked by the hold go on by themselves.",
        ]
    else:
        title = "Hold the participant"
        what = [
            "No more calls to it are begun, on every node, until it is released. Those under way end.",
            "Steps that need it are blocked: they spend no attempts, and their sagas wait. Deadlines go on.",
        ]
    return show_confirmation(request, fields, problem, title=title, target=service, what=what, back="/participants")


async def nodes(request: Request) -> Response:
    """Every node that has a lease."""
    console = console_of(request)
    answer = await console.api.read(console.api.stub.ListNodes, pb.ListNodesRequest())
    return console.render(
        request, "nodes.html", live=OFTEN, rows=[node_row(each, console.now()) for each in answer.nodes]
    )


async def ask_drain(request: Request) -> Response:
    """The form that drains a node."""
    console_of(request).require("DrainNode")
    return await _show_drain(request, Fields(()), None)


async def drain(request: Request) -> Response:
    """Drains a node."""
    console = console_of(request)

    async def do(request_id: str, reason: str) -> None:
        message = pb.DrainNodeRequest(request_id=request_id, node_id=request.path_params["node_id"], reason=reason)
        await console.api.act(console.api.stub.DrainNode, message)

    return await confirmed(request, do, _show_drain, "/nodes")


async def _show_drain(request: Request, fields: Fields, problem: Problem | None) -> Response:
    what = [
        "The node hands its sagas over to the others and takes no more.",
        "Its process stays until it is stopped, and takes part again only when it is started anew.",
        "If it is the only node, sagas wait until another one is there.",
    ]
    node_id = request.path_params["node_id"]
    return show_confirmation(request, fields, problem, title="Drain the node", target=node_id, what=what, back="/nodes")


async def definitions(request: Request) -> Response:
    """Every registered definition."""
    console = console_of(request)
    answer = await console.api.read(console.api.stub.ListDefinitions, pb.ListDefinitionsRequest())
    rows = [definition_row(each, console.now()) for each in answer.definitions]
    return console.render(request, "definitions.html", live=OFTEN, rows=rows)
