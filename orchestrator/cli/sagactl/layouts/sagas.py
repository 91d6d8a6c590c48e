"""Many sagas: lists, counts, and what needs attention by cause."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text
from saga.v1 import operator_pb2, saga_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.layouts.tables import LIST_CELL_CHARS, Rows, cell, heading, table
from orchestrator.cli.sagactl.words import age, many, word

STATES = saga_pb2.SagaState.DESCRIPTOR
ATTENTIONS = operator_pb2.AttentionKind.DESCRIPTOR


def state_of(saga: saga_pb2.Saga) -> str:
    """The state, and whether it is paused."""
    return word(STATES, saga.state) + (" (paused)" if saga.HasField("pause_time") else "")


def standing(summary: operator_pb2.SagaSummary) -> Text:
    """The state, and why an operator should look at it."""
    state, attention = state_of(summary.saga), word(ATTENTIONS, summary.attention)
    if attention in {"", state}:
        return cell(state)
    return Text.assemble(cell(state), ", ", cell(attention))


def definition_of(saga: saga_pb2.Saga) -> str:
    """``place-order v2``."""
    return f"{saga.definition} v{saga.version}"


def saga_table(sagas: Iterable[operator_pb2.SagaSummary], now: datetime) -> Rows:
    """One line a saga."""
    return table(
        ("SAGA!", "DEFINITION?", "STATE", "STEP", "REASON", "AGE#?", "MOVED#?"),
        (
            (
                each.saga.saga_id,
                definition_of(each.saga),
                standing(each),
                each.step,
                each.reason,
                age(each.saga.create_time, now),
                age(each.saga.update_time, now),
            )
            for each in sagas
        ),
        cell_chars=LIST_CELL_CHARS,
    )


def saga_list(response: pb.SearchSagasResponse, now: datetime) -> Iterator[RenderableType]:
    """A page of a list."""
    yield saga_table(response.sagas, now) if response.sagas else Text("no saga matches")


def counts(response: pb.CountSagasResponse, now: datetime) -> Iterator[RenderableType]:
    """How many, by state and by cause."""
    yield Text(("at least " if response.at_least else "") + many(response.sagas, "saga"), "bold")
    if response.states:
        yield table(("STATE", "SAGAS#"), ((word(STATES, each.state), each.sagas) for each in response.states))
    yield from causes(response.attention, now)


def causes(groups: Sequence[operator_pb2.AttentionGroup], now: datetime) -> Iterator[RenderableType]:
    """What needs attention, by cause; nothing if nothing does."""
    if not groups:
        return
    yield heading("Needs attention")
    yield cause_table(groups, now)


def cause_table(groups: Iterable[operator_pb2.AttentionGroup], now: datetime) -> Rows:
    """One line a cause, with one saga of it to look at."""
    return table(
        ("ATTENTION", "SAGAS#", "DEFINITION?", "STEP", "PARTICIPANT?", "REASON", "OLDEST#?", "ONE OF THEM!"),
        (
            (
                word(ATTENTIONS, each.kind),
                each.sagas,
                f"{each.definition} v{each.version}" if each.version else each.definition,
                each.step,
                each.participant,
                each.reason,
                age(each.oldest_create_time, now),
                each.sample_saga_id,
            )
            for each in groups
        ),
        cell_chars=LIST_CELL_CHARS,
    )
