"""``audit``."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.commanding import Session, command
from orchestrator.cli.sagactl.filters import choice
from orchestrator.cli.sagactl.layouts.audit import ACTIONS, audit
from orchestrator.cli.sagactl.paging import Paging, gather, say_if_cut
from orchestrator.cli.sagactl.words import parse_time


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "audit")(show)


def show(
    session: Session,
    paging: Paging,
    *,
    saga_id: Annotated[UUID | None, typer.Option(help="Only this saga's.")] = None,
    bulk_id: Annotated[UUID | None, typer.Option(help="Only this bulk's.")] = None,
    members: Annotated[bool, typer.Option("--members", help="A bulk's members too, each as an entry.")] = False,
    caller: Annotated[str, typer.Option(help="Only what this one asked for.")] = "",
    action: Annotated[int | None, choice(ACTIONS, "Only this action.")] = None,
    since: Annotated[
        datetime | None, typer.Option(parser=parse_time, metavar="TIME", help="Asked for since, or 2h ago.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=parse_time, metavar="TIME", help="Asked for before, or 2h ago.")
    ] = None,
) -> None:
    """List what operators asked for, and what became of it, newest first."""
    wanted = pb.AuditFilter(
        saga_id=str(saga_id or ""),
        caller=caller,
        action=operator_pb2.OperatorAction.ValueType(action or 0),
        bulk_id=str(bulk_id or ""),
        bulk_members=members,
    )
    if since is not None:
        wanted.time_from.FromDatetime(since)
    if until is not None:
        wanted.time_to.FromDatetime(until)
    request = pb.ListAuditRequest(filter=wanted)
    found = gather(session, paging, session.connection.operator.ListAudit, request, "entries")
    session.screen.answer(found, audit)
    say_if_cut(session, found.next_page_token)
