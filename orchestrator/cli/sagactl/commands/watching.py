"""``watch``: a saga's journal as it grows."""

from typing import Annotated, Any, Final
from uuid import UUID

import typer
from saga.v1 import event_pb2, saga_pb2
from saga.v1 import saga_service_pb2 as pb

from orchestrator.cli.sagactl.commanding import Session, command
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.harmless import harmless
from orchestrator.cli.sagactl.layouts.events import event_line

_ENDS: Final = {
    event_pb2.EVENT_TYPE_SAGA_COMPLETED: ExitCode.OK,
    event_pb2.EVENT_TYPE_SAGA_COMPENSATED: ExitCode.ENDED_OTHERWISE,
    event_pb2.EVENT_TYPE_SAGA_RESOLVED: ExitCode.ENDED_OTHERWISE,
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "watch")(watch)


def watch(
    session: Session,
    saga_id: Annotated[UUID, typer.Argument(metavar="SAGA_ID", help="The saga.")],
    *,
    after_seq: Annotated[int, typer.Option(min=0, help="Only events after this one.")] = 0,
) -> None:
    """Follow a saga's journal until it ends or is stuck, also through a lost connection. JSON is one event a line."""
    seen, ended = after_seq, ExitCode.OK

    def request() -> pb.WatchSagaRequest:
        return pb.WatchSagaRequest(saga_id=str(saga_id), after_seq=seen)

    def lost(error: CommandError) -> None:
        session.screen.note(f"{error.text}; trying again from event {seen} on", "yellow")

    connection, screen = session.connection, session.screen
    for response in connection.follow(request, connection.sagas.WatchSaga, on_loss=lost):
        event = response.event
        seen, ended = event.seq, _ENDS.get(event.type, ended)
        _clear_payload(event)
        if screen.as_json:
            screen.json(event, indent=None)
        else:
            screen.out.print(event_line(harmless(event)), soft_wrap=True)
        if event.type == event_pb2.EVENT_TYPE_SAGA_STUCK and _is_still_stuck(session, event):
            ended = ExitCode.ENDED_OTHERWISE
            break
    if ended is not ExitCode.OK:
        raise typer.Exit(ended)


def _clear_payload(event: event_pb2.SagaEvent) -> None:
    """Takes a serialized response out, in place: ``get --everything`` shows it without what is personal or secret."""
    name = event.WhichOneof("attributes")
    if name is not None:
        told: Any = getattr(event, name)
        if "response" in told.DESCRIPTOR.fields_by_name:
            told.ClearField("response")


def _is_still_stuck(session: Session, event: event_pb2.SagaEvent) -> bool:
    """Whether an operator has moved it since, and the journal goes on."""
    request = pb.GetSagaRequest(saga_id=event.saga_id)
    saga = session.connection.call(session.connection.sagas.GetSaga, request).saga
    return saga.state == saga_pb2.SAGA_STATE_STUCK and saga.last_seq == event.seq
