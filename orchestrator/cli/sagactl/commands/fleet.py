"""``participants``, ``nodes`` and ``definitions``."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

import typer
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.commanding import Session, command, group
from orchestrator.cli.sagactl.confirming import Consent
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.layouts import fleet
from orchestrator.cli.sagactl.words import many

Service = Annotated[str, typer.Argument(metavar="SERVICE", help="Full name, such as payment.v1.PaymentService.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    below = group(app, "participants", help="Services that steps call: breaker, load, holds.")(participants)
    command(below, "hold")(hold)
    command(below, "release")(release)
    below = group(app, "nodes", help="Processes of the orchestrator: lease, load, drain.")(nodes)
    command(below, "drain")(drain)
    command(app, "definitions")(definitions)


def participants(session: Session) -> None:
    """List participants."""
    response = session.connection.call(session.connection.operator.ListParticipants, pb.ListParticipantsRequest())
    session.screen.answer(response, lambda message: fleet.participants(message, session.screen.now))


def hold(session: Session, service: Service, consent: Consent) -> None:
    """Make no more calls to a participant, on every node; steps that need it wait and spend no attempts."""
    request = pb.HoldParticipantRequest(service=service)
    _change(session, consent, session.connection.operator.HoldParticipant, request, f"Hold every call to {service}?")


def release(session: Session, service: Service, consent: Consent) -> None:
    """Make calls to a participant again; steps that waited go on by themselves."""
    request = pb.ReleaseParticipantRequest(service=service)
    _change(session, consent, session.connection.operator.ReleaseParticipant, request, f"Release {service}?")


def _change(session: Session, consent: Consent, method: Callable[..., Any], request: Any, question: str) -> None:
    asked = consent.settled()
    asked.check()
    known = session.connection.call(session.connection.operator.ListParticipants, pb.ListParticipantsRequest())
    found = [each for each in known.participants if each.service == request.service]
    if not found:
        text = f"no loaded definition calls {request.service}"
        raise CommandError(ExitCode.NOT_FOUND, text, "`sagactl participants` lists their full names")
    if asked.dry_run:
        listed = pb.ListParticipantsResponse(participants=found, node_id=known.node_id)
        session.screen.answer(listed, lambda message: fleet.participants(message, session.screen.now))
        session.screen.note("dry run: nothing was done")
        return
    asked.confirm(question)
    request.reason, request.request_id = asked.reason, asked.request_id
    session.screen.note(f"request id {asked.request_id}", "dim")
    response = session.connection.call(method, request)
    now = session.screen.now
    session.screen.answer(response, lambda message: [fleet.participant_table([message.participant], now)])


def nodes(session: Session) -> None:
    """List nodes."""
    response = session.connection.call(session.connection.operator.ListNodes, pb.ListNodesRequest())
    session.screen.answer(response, lambda message: [fleet.node_table(message.nodes, session.screen.now)])


def drain(
    session: Session, node_id: Annotated[UUID, typer.Argument(metavar="NODE_ID", help="The node.")], consent: Consent
) -> None:
    """Let a node hand over its sagas and take no more, until it is started anew."""
    asked = consent.settled()
    asked.check()
    known = session.connection.call(session.connection.operator.ListNodes, pb.ListNodesRequest())
    now = [each for each in known.nodes if each.node_id == str(node_id)]
    if not now:
        raise CommandError(ExitCode.NOT_FOUND, f"no node has the id {node_id}", "`sagactl nodes` lists them")
    if asked.dry_run:
        listed = pb.ListNodesResponse(nodes=now)
        session.screen.answer(listed, lambda message: [fleet.node_table(message.nodes, session.screen.now)])
        session.screen.note(f"dry run: nothing was done; it would hand over {many(now[0].sagas, 'saga')}")
        return
    asked.confirm(f"Drain {now[0].name}, which has {many(now[0].sagas, 'saga')}?")
    session.screen.note(f"request id {asked.request_id}", "dim")
    request = pb.DrainNodeRequest(request_id=asked.request_id, node_id=str(node_id), reason=asked.reason)
    response = session.connection.call(session.connection.operator.DrainNode, request)
    session.screen.answer(response, lambda message: [fleet.node_table([message.node], session.screen.now)])


def definitions(session: Session) -> None:
    """List definitions, with their live sagas and whether they may be removed."""
    response = session.connection.call(session.connection.operator.ListDefinitions, pb.ListDefinitionsRequest())
    session.screen.answer(response, lambda message: [fleet.definition_table(message.definitions)])
