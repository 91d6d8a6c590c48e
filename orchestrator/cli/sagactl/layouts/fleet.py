"""Participants, nodes and definitions."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.layouts.tables import Rows, table
from orchestrator.cli.sagactl.words import age, clock, word

_BREAKERS = operator_pb2.BreakerState.DESCRIPTOR


def participant_table(participants: Iterable[operator_pb2.ParticipantStatus], now: datetime) -> Rows:
    """One line a service, as the answering node sees it."""
    return table(
        ("PARTICIPANT", "BREAKER", "PROBE?", "IN FLIGHT#?", "CALLS#?", "ERRORS#", "ATTENTION#", "HELD", "ADDRESS"),
        (
            (
                each.service,
                word(_BREAKERS, each.breaker),
                age(each.probe_time, now),
                each.in_flight,
                each.recent_calls,
                f"{each.error_rate:.0%}",
                each.attention,
                _hold(each, now),
                "yes" if each.has_address else Text("none", "bold red"),
            )
            for each in participants
        ),
    )


def _hold(status: operator_pb2.ParticipantStatus, now: datetime) -> Text:
    if not status.held:
        return Text("")
    since = age(status.hold_time, now)
    parts = ("held", f"for {since}" if since else "", f"by {status.held_by}" if status.held_by else "")
    reason = f": {status.hold_reason}" if status.hold_reason else ""
    return Text(" ".join(part for part in parts if part) + reason, "bold yellow")


def participants(response: pb.ListParticipantsResponse, now: datetime) -> Iterator[RenderableType]:
    """All of them; breaker and load are those of one node."""
    yield participant_table(response.participants, now)
    if response.node_id:
        yield Text(f"Breakers and load are those of node {response.node_id}.", "dim")


def node_table(nodes: Iterable[operator_pb2.Node], now: datetime) -> Rows:
    """One line a node that has, or had, a lease."""
    return table(
        ("NODE!", "NAME", "LEASE", "SAGAS#", "UP#?", "DRAINING?", "DEFINITIONS?"),
        (
            (
                each.node_id,
                each.name + (" (answers)" if each.answering else ""),
                Text("holds", "green") if each.alive else Text("lapsed", "bold red"),
                each.sagas,
                age(each.start_time, now),
                clock(each.drain_time),
                ", ".join(each.definitions),
            )
            for each in nodes
        ),
    )


def definition_table(definitions: Iterable[operator_pb2.DefinitionStatus]) -> Rows:
    """One line a version."""
    return table(
        ("DEFINITION", "RUNNING#", "COMPENSATING#", "STUCK#", "NODES#?", "REMOVE", "WHY", "REGISTERED?"),
        (
            (
                f"{each.name} v{each.version}",
                each.running,
                each.compensating,
                each.stuck,
                each.nodes,
                Text("safe", "green") if each.safe_to_remove else Text("no", "yellow"),
                each.verdict,
                clock(each.register_time),
            )
            for each in definitions
        ),
    )
