"""Entries of the audit log."""

from dataclasses import dataclass

from saga.v1 import operator_pb2 as op

from orchestrator.console.text import shown
from orchestrator.console.times import Moment, moment
from orchestrator.console.words import AUDIT_OUTCOMES, Word, action_name, status_code, word


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What an operator asked for, and what became of it."""

    audit_id: int
    at: Moment | None
    caller: str
    action: str
    reason: str
    saga_id: str
    step: str
    target: str
    bulk_id: str
    expected_version: int
    outcome: Word
    refusal: str
    decided_seq: int
    request_id: str
    members: int


def audit_row(entry: op.AuditEntry, now_s: float) -> AuditRow:
    """One entry."""
    refusal = [status_code(entry.refusal.code), entry.refusal.reason, entry.refusal.message]
    return AuditRow(
        audit_id=entry.audit_id,
        at=moment(entry.audit_time, now_s),
        caller=shown(entry.caller, 80),
        action=action_name(entry.action),
        reason=shown(entry.reason, 1000),
        saga_id=shown(entry.saga_id, 36),
        step=shown(entry.step, 80),
        target=shown(entry.target, 256),
        bulk_id=shown(entry.bulk_id, 36),
        expected_version=entry.expected_version,
        outcome=word(AUDIT_OUTCOMES, entry.outcome),
        refusal=shown(" ".join(part for part in refusal if part), 600),
        decided_seq=entry.decided_seq,
        request_id=entry.request_id,
        members=entry.members,
    )
