"""``list``, ``stuck``, ``get`` and ``explain``."""

from typing import Annotated, Final
from uuid import UUID

import typer
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.commanding import Session, command
from orchestrator.cli.sagactl.filters import ATTENTIONS, Filters
from orchestrator.cli.sagactl.layouts import sagas
from orchestrator.cli.sagactl.layouts.explaining import explanation
from orchestrator.cli.sagactl.layouts.saga import details
from orchestrator.cli.sagactl.paging import Paging, gather, say_if_cut

_ANY: Final = [operator_pb2.AttentionKind.ValueType(each.number) for each in ATTENTIONS.values if each.number]

SagaId = Annotated[UUID, typer.Argument(metavar="SAGA_ID", help="The saga.")]
Causes = Annotated[bool, typer.Option("--causes", help="Count them by cause instead.")]
Count = Annotated[bool, typer.Option("--count", help="Count them instead, by state and by cause.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "list")(list_sagas)
    command(app, "stuck")(stuck)
    command(app, "get")(get)
    command(app, "explain")(explain)


def list_sagas(session: Session, filters: Filters, paging: Paging, *, count: Count = False) -> None:
    """List sagas, newest first."""
    _search(session, filters.query(), paging, count=count)


def stuck(session: Session, filters: Filters, paging: Paging, *, causes: Causes = False) -> None:
    """List sagas that need an operator: stuck, blocked too long, overdue, or silent."""
    query = filters.query()
    if not query.attention:
        query.attention.extend(_ANY)
    _search(session, query, paging, count=causes)


def _search(session: Session, query: operator_pb2.SagaQuery, paging: Paging, *, count: bool) -> None:
    operator, screen = session.connection.operator, session.screen
    if count:
        counted = session.connection.call(operator.CountSagas, pb.CountSagasRequest(query=query))
        screen.answer(counted, lambda message: sagas.counts(message, screen.now))
        return
    found = gather(session, paging, operator.SearchSagas, pb.SearchSagasRequest(query=query), "sagas")
    screen.answer(found, lambda message: sagas.saga_list(message, screen.now))
    say_if_cut(session, found.next_page_token)


def get(
    session: Session,
    saga_id: SagaId,
    *,
    everything: Annotated[bool, typer.Option("--everything", help="Attempts, payloads and the journal too.")] = False,
) -> None:
    """Show one saga: its steps and what operators asked for."""
    request = pb.GetSagaDetailsRequest(saga_id=str(saga_id))
    response = session.connection.call(session.connection.operator.GetSagaDetails, request)
    screen = session.screen
    screen.answer(response, lambda message: details(message.details, screen.now, everything=everything))


def explain(session: Session, saga_id: SagaId) -> None:
    """Say why a saga stands where it stands, what happens next by itself, and what you can do."""
    request = pb.ExplainSagaRequest(saga_id=str(saga_id))
    response = session.connection.call(session.connection.operator.ExplainSaga, request)
    session.screen.answer(response, lambda message: explanation(message, session.screen.now))
