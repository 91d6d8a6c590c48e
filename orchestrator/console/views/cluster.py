"""Participants, nodes and definitions."""

from dataclasses import dataclass

from saga.v1 import operator_pb2 as op

from orchestrator.console.text import shown
from orchestrator.console.times import Moment, moment
from orchestrator.console.views.rows import texts
from orchestrator.console.words import BREAKERS, Word, word


@dataclass(frozen=True, slots=True)
class ParticipantRow:
    """A service that steps call, as the answering node sees it."""

    service: str
    breaker: Word
    probe: Moment | None
    in_flight: int
    recent_calls: int
    error_percent: int
    held: bool
    hold_since: Moment | None
    held_by: str
    hold_reason: str
    attention: int
    has_address: bool
    definitions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A process of the orchestrator."""

    node_id: str
    name: str
    start: Moment | None
    lease_end: Moment | None
    alive: bool
    sagas: int
    definitions: tuple[str, ...]
    draining: Moment | None
    answering: bool


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """A registered definition."""

    name: str
    version: int
    digest: str
    registered: Moment | None
    running: int
    compensating: int
    stuck: int
    nodes: int
    safe_to_remove: bool
    verdict: str


def participant_row(status: op.ParticipantStatus, now_s: float) -> ParticipantRow:
    """One participant."""
    return ParticipantRow(
        service=shown(status.service, 256),
        breaker=word(BREAKERS, status.breaker),
        probe=moment(status.probe_time, now_s),
        in_flight=status.in_flight,
        recent_calls=status.recent_calls,
        error_percent=round(100 * min(status.error_rate, 1.0)) if status.error_rate > 0 else 0,
        held=status.held,
        hold_since=moment(status.hold_time, now_s),
        held_by=shown(status.held_by, 80),
        hold_reason=shown(status.hold_reason, 600),
        attention=status.attention,
        has_address=status.has_address,
        definitions=texts(status.definitions, 80),
    )


def node_row(node: op.Node, now_s: float) -> NodeRow:
    """One node."""
    return NodeRow(
        node_id=shown(node.node_id, 36),
        name=shown(node.name, 80),
        start=moment(node.start_time, now_s),
        lease_end=moment(node.lease_expire_time, now_s),
        alive=node.alive,
        sagas=node.sagas,
        definitions=texts(node.definitions, 80),
        draining=moment(node.drain_time, now_s),
        answering=node.answering,
    )


def definition_row(status: op.DefinitionStatus, now_s: float) -> DefinitionRow:
    """One definition."""
    return DefinitionRow(
        name=shown(status.name, 80),
        version=status.version,
        digest=shown(status.digest[:12]),
        registered=moment(status.register_time, now_s),
        running=status.running,
        compensating=status.compensating,
        stuck=status.stuck,
        nodes=status.nodes,
        safe_to_remove=status.safe_to_remove,
        verdict=shown(status.verdict, 600),
    )
