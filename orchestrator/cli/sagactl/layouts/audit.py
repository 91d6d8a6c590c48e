"""Who asked for what, and what became of it."""

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.text import Text
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.layouts.plans import failure_text
from orchestrator.cli.sagactl.layouts.tables import Rows, table
from orchestrator.cli.sagactl.words import clock, many, word

ACTIONS = operator_pb2.OperatorAction.DESCRIPTOR
OUTCOMES = operator_pb2.AuditOutcome.DESCRIPTOR


def audit_table(entries: Iterable[operator_pb2.AuditEntry]) -> Rows:
    """One line an entry."""
    return table(
        ("WHEN", "WHO", "ACTION", "ON", "OUTCOME", "REASON", "REFUSED BECAUSE"),
        (
            (
                clock(each.audit_time),
                each.caller,
                word(ACTIONS, each.action).lower().replace("_", " "),
                _subject(each),
                word(OUTCOMES, each.outcome),
                each.reason,
                failure_text(each.refusal),
            )
            for each in entries
        ),
    )


def _subject(entry: operator_pb2.AuditEntry) -> str:
    step = f" {entry.step}" if entry.step else ""
    if entry.saga_id:
        return f"saga {entry.saga_id}{step}"
    if entry.bulk_id:
        return f"bulk {entry.bulk_id}{step}" + (f" of {many(entry.members, 'saga')}" if entry.members else "")
    return entry.target


def audit(response: pb.ListAuditResponse) -> Iterator[RenderableType]:
    """A page of the log."""
    yield audit_table(response.entries) if response.entries else Text("no entry matches")
