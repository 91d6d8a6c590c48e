"""``start``: any registered definition, with its input as JSON."""

import time
import uuid
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from google.protobuf.duration_pb2 import Duration
from rich.text import Text
from saga.v1 import saga_pb2
from saga.v1 import saga_service_pb2 as pb

from orchestrator.cli.sagactl.commanding import Session, command
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.input_types import input_type
from orchestrator.cli.sagactl.inputs import STDIN, read_text, to_message
from orchestrator.cli.sagactl.layouts.saga import head

_OVER: Final = {
    saga_pb2.SAGA_STATE_COMPLETED,
    saga_pb2.SAGA_STATE_COMPENSATED,
    saga_pb2.SAGA_STATE_RESOLVED,
    saga_pb2.SAGA_STATE_STUCK,
}
_ONE_WAIT_S: Final = 30.0


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "start")(start)


def start(
    session: Session,
    definition: Annotated[str, typer.Argument(metavar="DEFINITION", help="Such as place-order.")],
    *,
    input: Annotated[Path, typer.Option(help="File with the input as JSON; - is standard input.")] = STDIN,  # noqa: A002  (the option's name)
    version: Annotated[int, typer.Option(min=0, help="0: the newest that the node has loaded.")] = 0,
    request_id: Annotated[
        str | None, typer.Option(help="The same id gives the same saga; else a new one, which is shown.")
    ] = None,
    input_type_name: Annotated[
        str | None, typer.Option("--input-type", help="Full name of the input's message, where nothing tells it.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended or is stuck.")] = False,
    wait_s: Annotated[float, typer.Option(min=1, max=86_400, help="The longest wait, in seconds.")] = 600,
) -> None:
    """Start a saga; repeated with the same --request-id it is the same saga."""
    descriptor = input_type(session.connection, definition, version, input_type_name)
    message = to_message(read_text(input), descriptor)
    known = request_id or str(uuid.uuid4())
    request = pb.StartSagaRequest(
        request_id=known, definition=definition, version=version, input=message.SerializeToString(deterministic=True)
    )
    session.screen.note(f"request id {known}", "dim")
    try:
        response = session.connection.call(session.connection.sagas.StartSaga, request)
    except CommandError as error:
        if error.exit_code is ExitCode.NO_ANSWER:
            error.advice = f"it may have been started: repeat the same command with --request-id {known}"
        raise
    if not wait:
        session.screen.answer(response, lambda message: _started(session, message))
        return
    session.screen.note(f"saga {response.saga.saga_id}")
    _wait(session, response.saga.saga_id, wait_s)


def _started(session: Session, response: pb.StartSagaResponse) -> list[Any]:
    told = "was started before, under this request id" if response.already_started else "started"
    return [Text(told, "bold"), head(response.saga, session.screen.now)]


def _wait(session: Session, saga_id: str, wait_s: float) -> None:
    """Shows the saga once it is over. Ends the command with a code if it did not complete."""
    ends_at = time.monotonic() + wait_s
    while (left_s := ends_at - time.monotonic()) > 0:
        one_s = min(_ONE_WAIT_S, left_s)
        request = pb.WaitSagaRequest(saga_id=saga_id, timeout=Duration(nanos=0, seconds=max(1, int(one_s))))
        timeout_s = one_s + session.connection.timeout_s
        response = session.connection.call(session.connection.sagas.WaitSaga, request, timeout_s)
        if response.saga.state in _OVER:
            session.screen.answer(response, lambda message: [head(message.saga, session.screen.now)])
            if response.saga.state != saga_pb2.SAGA_STATE_COMPLETED:
                raise typer.Exit(ExitCode.ENDED_OTHERWISE)
            return
    text = f"saga {saga_id} goes on after {wait_s:g} s"
    raise CommandError(ExitCode.NO_ANSWER, text, f"follow it with `sagactl watch {saga_id}`")
