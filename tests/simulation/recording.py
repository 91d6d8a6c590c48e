"""What a run leaves behind: the history that the checker reads, and what the engine says in its log."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import structlog
from google.protobuf.descriptor_pb2 import MethodOptions
from saga.v1 import options_pb2

from contracts.method import Method
from orchestrator.definitions.model import Definition
from tests.simulation.database import Database
from tests.simulation.history import Asked, Entry, SagaRow, Shape
from tests.simulation.loop import HOST
from tests.simulation.node import BLOCKED_RETRY_S, LEASE_TTL_S
from tests.simulation.participants import StepMethods
from tests.simulation.sagas import RAISES

EPOCH_US: Final = 1_790_000_000_000_000
"""The database's time when a run begins."""
DEFECTS: Final = {"service_failed", "saga_defect", "attempt_defect", "resume_defect", "service_died", "item_impossible"}
"""What the engine logs when it is wrong itself."""


def shape_of(definition: Definition) -> Shape:
    """The graph as the checker reads it."""
    steps = definition.spec.steps
    names = [step.name for step in steps]
    patience_s = 2 * LEASE_TTL_S + 2 * BLOCKED_RETRY_S
    for step in steps:
        patience_s += 2 * step.timeout_s + step.retry.max_backoff_s
        patience_s += 2 * step.compensation_timeout_s + step.compensation_retry.max_backoff_s
    return Shape(
        {step.name: step.kind.name for step in steps},
        {step.name: tuple(names[before] for before in step.predecessors) for step in steps},
        frozenset(step.name for step in definition.steps if not keeps_barrier(step.method)),
        RAISES.get(definition.label, {}),
        patience_s,
    )


def keeps_barrier(method: Method[Any, Any]) -> bool:
    """What the contract says, whatever the engine makes of it."""
    return not method.service_descriptor.GetOptions().Extensions[options_pb2.participant].without_barrier


def methods_of(definitions: Iterable[Definition]) -> Iterator[StepMethods]:
    """What the participants of the definitions serve."""
    for definition in definitions:
        for step in definition.steps:
            undo = step.compensation
            yield StepMethods(
                step.method.path,
                step.method.response,
                None if undo is None else undo.path,
                has_barrier=keeps_barrier(step.method),
                only_reads=step.method.descriptor.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
            )


def rows_of(database: Database) -> dict[str, SagaRow]:
    """Every saga as the database has it."""
    rows: dict[str, SagaRow] = {}
    nodes = {node_id: str(node_id) for node_id in database.fences}
    for saga in database.sagas.values():
        name, version, _ = database.definitions[saga.definition_id]
        saga_id = str(saga.saga_id)
        rows[saga_id] = SagaRow(
            saga_id,
            f"{name} v{version}",
            saga.request_id,
            saga.input,
            int(saga.row.status),
            saga.epoch,
            saga.last_seq,
            saga.row.failed_step,
            saga.owner is not None,
            saga.concurrency_key,
            [(_seconds(at_us), int(status)) for at_us, status in saga.states],
            [
                Entry(
                    entry.seq,
                    entry.kind,
                    entry.epoch,
                    entry.attributes,
                    _seconds(at_us),
                    nodes.get(node_id) or str(node_id),
                )
                for entry, (at_us, node_id) in zip(saga.journal, saga.writers, strict=True)
            ],
        )
    return rows


def asked_of(database: Database) -> list[Asked]:
    """Every request that is stored."""
    return [
        Asked(
            request.number,
            str(request.saga.saga_id),
            request.kind,
            request.expected_seq,
            request.caller,
            request.reason or "",
            request.consumed_seq,
        )
        for request in database.requests.values()
    ]


def lost_of(before: Mapping[str, SagaRow], after: Mapping[str, SagaRow]) -> Mapping[str, SagaRow]:
    """Sagas that were there before a failover and not after. Lost entries of the others are noted on ``after``."""
    for saga_id, row in after.items():
        if saga_id in before:
            stands = set(row.journal)
            row.lost = [entry for entry in before[saga_id].journal if entry not in stands]
    return {saga_id: row for saga_id, row in before.items() if saga_id not in after}


def fences_of(database: Database) -> dict[str, float]:
    """When each node that was declared dead was, in virtual seconds."""
    return {str(node_id): _seconds(at_us) for node_id, at_us in database.fences.items() if at_us is not None}


def _seconds(at_us: int) -> float:
    return (at_us - EPOCH_US) / 1_000_000


@contextmanager
def overheard(tell: Callable[[str, str], None], defects: list[str], *, in_full: bool) -> Iterator[None]:
    """The engine's log goes into the transcript, if there is one; what it calls a defect goes into ``defects``."""

    before = structlog.get_config()
    level = logging.DEBUG if in_full else logging.ERROR
    structlog.configure(processors=[_capture], wrapper_class=structlog.make_filtering_bound_logger(level))
    _LISTENERS.append((tell, defects))
    try:
        yield
    finally:
        _LISTENERS.pop()
        structlog.configure(**before)


_LISTENERS: Final[list[tuple[Callable[[str, str], None], list[str]]]] = []
"""The last one hears the log: the run that goes on. A logger may outlive the run that it was made in."""


def _capture(_logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    tell, defects = _LISTENERS[-1]
    host, name = HOST.get(None), str(event.get("event"))
    if name in DEFECTS:
        defects.append(f"{name}: {structlog.processors.format_exc_info(None, method, event)}")
    told = {key: value for key, value in event.items() if key not in {"event", "exc_info", "exception"}}
    tell(host.name if host else "?", f"[{name}] {told}")
    raise structlog.DropEvent
