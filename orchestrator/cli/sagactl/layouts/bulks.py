"""Bulk actions: what one would do, how far it is, its members."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from google.protobuf.json_format import MessageToJson
from rich.console import RenderableType
from rich.text import Text
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.layouts.audit import ACTIONS, OUTCOMES
from orchestrator.cli.sagactl.layouts.plans import failure_text, short
from orchestrator.cli.sagactl.layouts.sagas import definition_of, state_of
from orchestrator.cli.sagactl.layouts.tables import LIST_CELL_CHARS, Rows, heading, pairs, table
from orchestrator.cli.sagactl.words import age, clock, many, word

BULK_STATES = operator_pb2.BulkState.DESCRIPTOR


def action_name(action: operator_pb2.BulkAction) -> str:
    """``retry``, ``skip step charge``."""
    return word(ACTIONS, action.action).lower().replace("_", " ") + (f" {action.step}" if action.step else "")


def selection(query: operator_pb2.SagaQuery) -> str:
    """The query as compact JSON."""
    return MessageToJson(query, indent=None)


def dry_run(response: pb.StartBulkResponse) -> Iterator[RenderableType]:
    """How many sagas there are, and what would be done to the first."""
    bulk = response.bulk
    yield Text(f"{action_name(bulk.action)} on {many(bulk.members, 'saga')}", "bold")
    yield Text(f"that match {selection(bulk.query)}")
    if bulk.rate_per_s:
        yield Text(f"at most {bulk.rate_per_s:g} a second")
    if bulk.left_out:
        yield Text(f"{many(bulk.left_out, 'more saga')} would be left out: raise --max-sagas", "yellow")
    if not response.sample:
        return
    yield heading(f"The first {len(response.sample)}")
    yield table(
        ("SAGA!", "DEFINITION", "STATE", "WHAT WOULD BE DONE"),
        (
            (each.saga.saga.saga_id, definition_of(each.saga.saga), state_of(each.saga.saga), short(each.plan))
            for each in response.sample
        ),
    )
    warnings = dict.fromkeys(text for each in response.sample for text in each.plan.warnings)
    for text in warnings:
        yield Text(f"Warning: {text}", "yellow")


def bulk_head(bulk: operator_pb2.Bulk) -> Iterator[RenderableType]:
    """How far one bulk is."""
    yield pairs(
        (
            ("bulk", bulk.bulk_id),
            ("action", action_name(bulk.action)),
            ("state", word(BULK_STATES, bulk.state)),
            ("sagas", bulk.members),
            ("granted", bulk.granted),
            ("refused", bulk.refused),
            ("in progress", bulk.in_progress),
            ("left out", bulk.left_out or ""),
            ("selected by", selection(bulk.query)),
            ("started", " by ".join(part for part in (clock(bulk.create_time), bulk.caller) if part)),
            ("ended", clock(bulk.end_time)),
            ("reason", bulk.reason),
        )
    )


def bulk_table(bulks: Iterable[operator_pb2.Bulk], now: datetime) -> Rows:
    """One line a bulk."""
    return table(
        ("BULK!", "ACTION", "STATE", "SAGAS#", "GRANTED#", "REFUSED#", "AGE#?", "WHO?", "REASON?"),
        (
            (
                each.bulk_id,
                action_name(each.action),
                word(BULK_STATES, each.state),
                each.members,
                each.granted,
                each.refused,
                age(each.create_time, now),
                each.caller,
                each.reason,
            )
            for each in bulks
        ),
        cell_chars=LIST_CELL_CHARS,
    )


def member_table(members: Iterable[operator_pb2.BulkMember]) -> Rows:
    """One line a saga."""
    return table(
        ("SAGA!", "OUTCOME", "DECIDED", "REFUSED BECAUSE"),
        (
            (each.saga_id, word(OUTCOMES, each.outcome), clock(each.decide_time), failure_text(each.refusal))
            for each in members
        ),
    )
