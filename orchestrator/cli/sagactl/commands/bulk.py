"""``bulk``: one action on every saga that a filter selects."""

from typing import Annotated, Final
from uuid import UUID

import typer
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.bulk_progress import follow
from orchestrator.cli.sagactl.commanding import Session, command, group
from orchestrator.cli.sagactl.confirming import Asked, Consent
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.filters import Filters, choice
from orchestrator.cli.sagactl.harmless import harmless
from orchestrator.cli.sagactl.layouts import bulks
from orchestrator.cli.sagactl.layouts.audit import OUTCOMES
from orchestrator.cli.sagactl.paging import Paging, gather, say_if_cut
from orchestrator.cli.sagactl.words import many

_ACTIONS: Final = {
    "retry": operator_pb2.OPERATOR_ACTION_RETRY,
    "retry-compensation": operator_pb2.OPERATOR_ACTION_RETRY_COMPENSATION,
    "skip": operator_pb2.OPERATOR_ACTION_SKIP_STEP,
    "compensate": operator_pb2.OPERATOR_ACTION_FORCE_COMPENSATION,
    "resolve": operator_pb2.OPERATOR_ACTION_RESOLVE,
    "pause": operator_pb2.OPERATOR_ACTION_PAUSE,
    "resume": operator_pb2.OPERATOR_ACTION_RESUME,
}
BulkId = Annotated[UUID, typer.Argument(metavar="BULK_ID", help="The bulk.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    below = group(app, "bulk", help="One action on every saga that a filter selects.")(list_bulks)
    command(below, "start")(start)
    command(below, "watch")(watch)
    command(below, "get")(get)
    command(below, "list")(list_bulks)
    command(below, "members")(members)
    command(below, "cancel")(cancel)


def start(
    session: Session,
    action: Annotated[str, typer.Argument(metavar="ACTION", help=f"One of {', '.join(_ACTIONS)}.")],
    filters: Filters,
    consent: Consent,
    *,
    action_step: Annotated[str, typer.Option(help="The step to act on; else the one that each saga is at.")] = "",
    response_json: Annotated[str, typer.Option(help="For skip: what stands for the step's response.")] = "",
    rate_per_s: Annotated[float, typer.Option(min=0, max=1000, help="Sagas begun in a second; 0: 50.")] = 0,
    max_sagas: Annotated[int, typer.Option(min=0, max=100_000, help="The most, oldest first; 0: 10,000.")] = 0,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
) -> None:
    """Do one action to every saga that the filters select; a dry run is shown first."""
    if action not in _ACTIONS:
        raise CommandError(ExitCode.USAGE, f"{action!r} is none of {', '.join(_ACTIONS)}")
    query = filters.query()
    if not query.ByteSize():
        raise CommandError(ExitCode.USAGE, "no filter is given", "say which sagas, such as --attention stuck")
    asked = consent.settled()
    asked.check()
    what = operator_pb2.BulkAction(action=_ACTIONS[action], step=action_step, response_json=response_json)
    request = pb.StartBulkRequest(
        request_id=asked.request_id,
        query=query,
        action=what,
        reason=asked.reason,
        rate_per_s=rate_per_s,
        max_sagas=max_sagas,
    )
    if asked.dry_run or not asked.yes:
        _dry_run(session, asked, request)
    if not asked.dry_run:
        _run(session, request, detach=detach)


def _dry_run(session: Session, asked: Asked, request: pb.StartBulkRequest) -> None:
    planning = pb.StartBulkRequest()
    planning.CopyFrom(request)
    planning.validate_only = True
    response = session.connection.call(session.connection.operator.StartBulk, planning)
    if asked.dry_run:
        session.screen.answer(response, bulks.dry_run)
        return
    for part in bulks.dry_run(harmless(response)):
        session.screen.err.print(part)
    if not response.bulk.members:
        raise CommandError(ExitCode.NOT_FOUND, "no saga matches; nothing was done", "loosen the filters")
    asked.confirm(f"Do it to {many(response.bulk.members, 'saga')}?")


def _run(session: Session, request: pb.StartBulkRequest, *, detach: bool) -> None:
    session.screen.note(f"request id {request.request_id}", "dim")
    try:
        response = session.connection.call(session.connection.operator.StartBulk, request)
    except CommandError as error:
        if error.exit_code is ExitCode.NO_ANSWER:
            error.advice = f"it may have been started: repeat the same command with --request-id {request.request_id}"
        raise
    session.screen.note(f"bulk {response.bulk.bulk_id} on {many(response.bulk.members, 'saga')}")
    if detach:
        session.screen.answer(response, lambda message: bulks.bulk_head(message.bulk))
        return
    follow(session, response.bulk.bulk_id)


def watch(session: Session, bulk_id: BulkId) -> None:
    """Follow a bulk until it ends."""
    follow(session, str(bulk_id))


def get(session: Session, bulk_id: BulkId) -> None:
    """Show how far a bulk is."""
    request = pb.GetBulkRequest(bulk_id=str(bulk_id))
    response = session.connection.call(session.connection.operator.GetBulk, request)
    session.screen.answer(response, lambda message: bulks.bulk_head(message.bulk))


def list_bulks(session: Session, paging: Paging) -> None:
    """List bulks, newest first."""
    found = gather(session, paging, session.connection.operator.ListBulks, pb.ListBulksRequest(), "bulks")
    session.screen.answer(found, lambda message: [bulks.bulk_table(message.bulks, session.screen.now)])
    say_if_cut(session, found.next_page_token)


def members(
    session: Session,
    bulk_id: BulkId,
    paging: Paging,
    *,
    outcome: Annotated[int | None, choice(OUTCOMES, "Only those with this outcome.")] = None,
) -> None:
    """List a bulk's sagas, and what became of each."""
    wanted = operator_pb2.AuditOutcome.ValueType(outcome or 0)
    request = pb.ListBulkMembersRequest(bulk_id=str(bulk_id), outcome=wanted)
    found = gather(session, paging, session.connection.operator.ListBulkMembers, request, "members")
    session.screen.answer(found, lambda message: [bulks.member_table(message.members)])
    say_if_cut(session, found.next_page_token)


def cancel(session: Session, bulk_id: BulkId, consent: Consent) -> None:
    """Begin no more members of a bulk; those begun are decided."""
    asked = consent.settled()
    asked.check()
    request = pb.CancelBulkRequest(request_id=asked.request_id, bulk_id=str(bulk_id), reason=asked.reason)
    if asked.dry_run or not asked.yes:
        now = session.connection.call(session.connection.operator.GetBulk, pb.GetBulkRequest(bulk_id=str(bulk_id)))
        if asked.dry_run:
            session.screen.answer(now, lambda message: bulks.bulk_head(message.bulk))
            return
        left = now.bulk.members - now.bulk.granted - now.bulk.refused - now.bulk.in_progress
        asked.confirm(f"Leave {many(left, 'saga')} of {now.bulk.members:,} as they are?")
    session.screen.note(f"request id {asked.request_id}", "dim")
    response = session.connection.call(session.connection.operator.CancelBulk, request)
    session.screen.answer(response, lambda message: bulks.bulk_head(message.bulk))
