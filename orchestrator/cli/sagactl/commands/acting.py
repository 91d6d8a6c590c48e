"""Actions on one saga: ``retry`` or ``skip`` what it is at, ``compensate``, ``resolve``, ``pause``, ``resume``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from rich.text import Text
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.commanding import Session, command
from orchestrator.cli.sagactl.confirming import Asked, Consent
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.harmless import harmless
from orchestrator.cli.sagactl.inputs import read_text
from orchestrator.cli.sagactl.layouts.plans import failure_text, plan
from orchestrator.cli.sagactl.layouts.sagas import definition_of, state_of

Step = Annotated[str, typer.Option(help="The step; else the one that the saga is stuck at, or that waits.")]
_PENDING: Final = {"OUTCOME_PENDING", "STORE_UNAVAILABLE", "NODE_DRAINING", ""}


@dataclass(frozen=True, slots=True)
class Subject:
    """Which saga, as it was seen when."""

    saga_id: Annotated[UUID, typer.Argument(metavar="SAGA_ID", help="The saga.")]
    expected_version: Annotated[
        int | None,
        typer.Option(
            min=1, help="Its version as you saw it; if it moved since, nothing is done. Else it is read and shown now."
        ),
    ] = None


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "retry")(retry)
    command(app, "retry-compensation")(retry_compensation)
    command(app, "skip")(skip)
    command(app, "compensate")(compensate)
    command(app, "resolve")(resolve)
    command(app, "pause")(pause)
    command(app, "resume")(resume)


def retry(session: Session, subject: Subject, consent: Consent, *, step: Step = "") -> None:
    """Try a step again now, with a fresh budget; a stuck saga goes on where it was going."""
    _act(session, subject, consent, session.connection.operator.RetryNow, pb.RetryNowRequest(step=step))


def retry_compensation(session: Session, subject: Subject, consent: Consent, *, step: Step = "") -> None:
    """Try the undo of a step again now, with a fresh budget."""
    request = pb.RetryCompensationRequest(step=step)
    _act(session, subject, consent, session.connection.operator.RetryCompensation, request)


def skip(
    session: Session,
    subject: Subject,
    consent: Consent,
    *,
    step: Step = "",
    response_json: Annotated[
        str | None, typer.Option(help="Forward: what stands for the step's response, as JSON.")
    ] = None,
    response_file: Annotated[Path | None, typer.Option(help="The same from a file; - is standard input.")] = None,
) -> None:
    """Go on without a step, or on the way back without its undo. The step is settled first."""
    request = pb.SkipStepRequest(step=step)
    if response_json is not None and response_file is not None:
        raise CommandError(ExitCode.USAGE, "--response-json and --response-file are the same thing: give one")
    if response_file is not None:
        request.response_json = read_text(response_file)
    elif response_json is not None:
        request.response_json = response_json
    _act(session, subject, consent, session.connection.operator.SkipStep, request)


def compensate(session: Session, subject: Subject, consent: Consent) -> None:
    """Turn a saga around: everything that may have taken effect is undone."""
    _act(session, subject, consent, session.connection.operator.ForceCompensation, pb.ForceCompensationRequest())


def resolve(session: Session, subject: Subject, consent: Consent) -> None:
    """End a stuck saga that you settled by hand. Say in --reason what you did instead."""
    _act(session, subject, consent, session.connection.operator.ResolveSaga, pb.ResolveSagaRequest())


def pause(session: Session, subject: Subject, consent: Consent) -> None:
    """Begin no more calls of a saga; those under way end."""
    _act(session, subject, consent, session.connection.operator.PauseSaga, pb.PauseSagaRequest())


def resume(session: Session, subject: Subject, consent: Consent) -> None:
    """Let a paused saga go on."""
    _act(session, subject, consent, session.connection.operator.ResumeSaga, pb.ResumeSagaRequest())


def _act(session: Session, subject: Subject, consent: Consent, method: Callable[..., Any], request: Any) -> None:
    """Plan, confirm, do. Raises :class:`CommandError` if it is refused, or not confirmed."""
    consent_given = consent.settled()
    consent_given.check()
    request.saga_id, request.reason = str(subject.saga_id), consent_given.reason
    request.request_id = consent_given.request_id
    request.expected_version = subject.expected_version or _seen(session, subject.saga_id)
    if consent_given.dry_run or not consent_given.yes:
        _plan(session, consent_given, method, request)
    if not consent_given.dry_run:
        _do(session, method, request)


def _seen(session: Session, saga_id: UUID) -> int:
    """The version that the saga has now, after showing what it is."""
    request = pb.SearchSagasRequest(query=operator_pb2.SagaQuery(saga_ids=[str(saga_id)]), page_size=1)
    found = session.connection.call(session.connection.operator.SearchSagas, request).sagas
    if not found:
        raise CommandError(
            ExitCode.NOT_FOUND,
            f"no saga has the id {saga_id}",
            "`sagactl list` shows the newest",
            status="NOT_FOUND",
            reason="SAGA_NOT_FOUND",
        )
    summary = found[0]
    where = " at ".join(part for part in (state_of(summary.saga), summary.step) if part)
    reason = f" ({summary.reason})" if summary.reason else ""
    version = summary.saga.last_seq
    session.screen.note(f"saga {saga_id}  {definition_of(summary.saga)}  {where}{reason}  version {version}")
    return version


def _plan(session: Session, asked: Asked, method: Callable[..., Any], request: Any) -> None:
    """Shows every call that would be made; asks whether to go on."""
    planning = type(request)()
    planning.CopyFrom(request)
    planning.validate_only = True
    response = session.connection.call(method, planning)
    if asked.dry_run:
        session.screen.answer(response, lambda message: plan(message.plan))
    else:
        for part in plan(harmless(response.plan)):
            session.screen.err.print(part)
    if not response.plan.allowed:
        refusal = response.plan.refusal
        text = f"refused: {refusal.message or response.plan.summary}"
        raise CommandError(ExitCode.REFUSED, text, "`sagactl explain` lists what can be done", reason=refusal.reason)
    if not asked.dry_run:
        asked.confirm("Do it?")


def _do(session: Session, method: Callable[..., Any], request: Any) -> None:
    session.screen.note(f"request id {request.request_id}, expected version {request.expected_version}", "dim")
    try:
        response = session.connection.call(method, request)
    except CommandError as error:
        if error.exit_code is ExitCode.NO_ANSWER and error.reason in _PENDING:
            again = f"--request-id {request.request_id} --expected-version {request.expected_version}"
            error.advice = f"it may have been done, or be done yet: repeat the same command with {again}"
        raise
    session.screen.answer(response, _done)


def _done(response: Any) -> list[Text]:
    saga = response.saga
    failure = failure_text(saga.failure)
    line = Text.assemble(("done: ", "bold green"), f"saga {saga.saga_id} is {state_of(saga)}, version {saga.last_seq}")
    return [line.append(f" ({failure})") if failure and saga.failed_step else line]
