"""A bulk as it is worked off: a progress bar, and how it ended."""

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.commanding import Session
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.layouts.bulks import bulk_head


def follow(session: Session, bulk_id: str) -> None:
    """Returns once the bulk is done and every member was granted; ends the command with a code otherwise.

    The bulk is the nodes' to work off: it goes on when this command is interrupted.
    """
    try:
        last = _watch(session, bulk_id)
    except KeyboardInterrupt:
        how = f"`sagactl bulk watch {bulk_id}` follows it, `sagactl bulk cancel {bulk_id}` stops it"
        raise CommandError(ExitCode.INTERRUPTED, "the bulk goes on without you", how) from None
    session.screen.answer(pb.GetBulkResponse(bulk=last), lambda message: bulk_head(message.bulk))
    if last.refused:
        session.screen.note(f"why some were refused: sagactl bulk members {bulk_id} --outcome refused", "yellow")
    if last.refused or last.state == operator_pb2.BULK_STATE_CANCELLED:
        raise typer.Exit(ExitCode.REFUSED)


def _watch(session: Session, bulk_id: str) -> operator_pb2.Bulk:
    connection, last = session.connection, operator_pb2.Bulk()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
    )
    console = session.screen.err
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("sagas", total=None, counts="")

        def lost(error: CommandError) -> None:
            session.screen.note(f"{error.text}; the bulk goes on, trying again", "yellow")

        def request() -> pb.WatchBulkRequest:
            return pb.WatchBulkRequest(bulk_id=bulk_id)

        for response in connection.follow(request, connection.operator.WatchBulk, on_loss=lost):
            last = response.bulk
            counts = f"{last.granted:,} granted, {last.refused:,} refused, {last.in_progress:,} in progress"
            progress.update(task, total=last.members, completed=last.granted + last.refused, counts=counts)
    return last
