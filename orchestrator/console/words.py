"""What the numbers of the contract are called on the page, and which sign stands beside each: never colour alone."""

from dataclasses import dataclass
from typing import Any, Final

from saga.v1 import event_pb2, operator_pb2, saga_pb2


@dataclass(frozen=True, slots=True)
class Word:
    """``tone`` is one of ok, busy, back, bad, warn, off; ``sign`` is a character that differs where tones do."""

    key: str
    label: str
    sign: str
    tone: str


def _word(key: str, sign: str, tone: str) -> Word:
    return Word(key, key.lower().replace("_", " "), sign, tone)


UNKNOWN: Final = Word("", "unknown", "?", "off")

SAGA_STATES: Final = {
    saga_pb2.SAGA_STATE_PENDING: _word("PENDING", "○", "off"),
    saga_pb2.SAGA_STATE_RUNNING: _word("RUNNING", "▶", "busy"),
    saga_pb2.SAGA_STATE_COMPLETED: _word("COMPLETED", "✓", "ok"),
    saga_pb2.SAGA_STATE_COMPENSATING: _word("COMPENSATING", "◀", "back"),
    saga_pb2.SAGA_STATE_COMPENSATED: _word("COMPENSATED", "↩", "back"),
    saga_pb2.SAGA_STATE_STUCK: _word("STUCK", "■", "bad"),
    saga_pb2.SAGA_STATE_RESOLVED: _word("RESOLVED", "✎", "off"),
}
STEP_STATES: Final = {
    saga_pb2.STEP_STATE_PENDING: _word("PENDING", "○", "off"),
    saga_pb2.STEP_STATE_RUNNING: _word("RUNNING", "▶", "busy"),
    saga_pb2.STEP_STATE_SUCCEEDED: _word("SUCCEEDED", "✓", "ok"),
    saga_pb2.STEP_STATE_REJECTED: _word("REJECTED", "✕", "warn"),
    saga_pb2.STEP_STATE_UNKNOWN: _word("UNKNOWN", "?", "warn"),
    saga_pb2.STEP_STATE_COMPENSATING: _word("COMPENSATING", "◀", "back"),
    saga_pb2.STEP_STATE_COMPENSATED: _word("COMPENSATED", "↩", "back"),
    saga_pb2.STEP_STATE_SKIPPED: _word("SKIPPED", "↷", "off"),
    saga_pb2.STEP_STATE_STUCK: _word("STUCK", "■", "bad"),
}
STEP_KINDS: Final = {
    saga_pb2.STEP_KIND_COMPENSATABLE: Word("COMPENSATABLE", "compensatable", "↩", "off"),
    saga_pb2.STEP_KIND_PIVOT: Word("PIVOT", "pivot: the point of no return", "◆", "off"),
    saga_pb2.STEP_KIND_RETRIABLE: Word("RETRIABLE", "retriable: must go through", "↻", "off"),
    saga_pb2.STEP_KIND_READ_ONLY: Word("READ_ONLY", "read only", "·", "off"),
}
PHASES: Final = {
    saga_pb2.PHASE_ACTION: Word("ACTION", "action", "→", "busy"),
    saga_pb2.PHASE_COMPENSATION: Word("COMPENSATION", "compensation", "←", "back"),
    saga_pb2.PHASE_SETTLE: Word("SETTLE", "settling", "≟", "off"),
}
ATTENTION: Final = {
    operator_pb2.ATTENTION_KIND_STUCK: Word("STUCK", "stuck", "■", "bad"),
    operator_pb2.ATTENTION_KIND_BLOCKED: Word("BLOCKED", "blocked", "‖", "warn"),
    operator_pb2.ATTENTION_KIND_OVERDUE: Word("OVERDUE", "overdue", "◷", "warn"),
    operator_pb2.ATTENTION_KIND_SILENT: Word("SILENT", "silent", "…", "warn"),
}
ATTENTION_MEANING: Final = {
    operator_pb2.ATTENTION_KIND_STUCK: "only an operator moves it",
    operator_pb2.ATTENTION_KIND_BLOCKED: "waits for something outside itself, for too long",
    operator_pb2.ATTENTION_KIND_OVERDUE: "past its deadline and not ended",
    operator_pb2.ATTENTION_KIND_SILENT: "no progress that its own timers explain",
}
BREAKERS: Final = {
    operator_pb2.BREAKER_STATE_UNSPECIFIED: Word("", "no calls yet", "○", "off"),
    operator_pb2.BREAKER_STATE_CLOSED: Word("CLOSED", "closed: calls are made", "✓", "ok"),
    operator_pb2.BREAKER_STATE_OPEN: Word("OPEN", "open: no calls", "✕", "bad"),
    operator_pb2.BREAKER_STATE_HALF_OPEN: Word("HALF_OPEN", "half open: probing", "◐", "warn"),
}
BULK_STATES: Final = {
    operator_pb2.BULK_STATE_RUNNING: _word("RUNNING", "▶", "busy"),
    operator_pb2.BULK_STATE_DONE: _word("DONE", "✓", "ok"),
    operator_pb2.BULK_STATE_CANCELLED: _word("CANCELLED", "✕", "off"),
}
AUDIT_OUTCOMES: Final = {
    operator_pb2.AUDIT_OUTCOME_PENDING: _word("PENDING", "○", "busy"),
    operator_pb2.AUDIT_OUTCOME_GRANTED: _word("GRANTED", "✓", "ok"),
    operator_pb2.AUDIT_OUTCOME_REFUSED: _word("REFUSED", "✕", "warn"),
}
ATTEMPT_TONES: Final = {
    "succeeded": Word("succeeded", "succeeded", "✓", "ok"),
    "compensated": Word("compensated", "compensated", "↩", "back"),
    "settled": Word("settled", "settled", "≟", "off"),
    "rejected": Word("rejected", "rejected", "✕", "warn"),
    "failed": Word("failed", "failed", "✕", "warn"),
    "unknown": Word("unknown", "outcome unknown", "?", "warn"),
    "blocked": Word("blocked", "blocked", "‖", "warn"),
    "stuck": Word("stuck", "stuck", "■", "bad"),
}
STATUS_CODES: Final = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


def word(words: dict[Any, Word], value: int) -> Word:
    """The word for an enum's value; ``UNKNOWN`` for one that this program does not know."""
    return words.get(value, UNKNOWN)


def action_name(value: int) -> str:
    """An operator's action in lower case, such as "force compensation"."""
    try:
        name = operator_pb2.OperatorAction.Name(operator_pb2.OperatorAction.ValueType(value))
    except ValueError:
        return f"action {value}"
    return name.removeprefix("OPERATOR_ACTION_").lower().replace("_", " ")


def event_name(value: int) -> str:
    """An event's type in lower case, such as "attempt failed"."""
    try:
        name = event_pb2.EventType.Name(event_pb2.EventType.ValueType(value))
    except ValueError:
        return f"event {value}"
    return name.removeprefix("EVENT_TYPE_").lower().replace("_", " ")


def status_code(code: int) -> str:
    """The name of a gRPC status code; empty for 0."""
    return "" if code == 0 else STATUS_CODES[code] if 0 < code < len(STATUS_CODES) else str(code)
