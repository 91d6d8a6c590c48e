"""The journal of a saga, and its messages."""

import json
import re
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from saga.v1 import event_pb2
from saga.v1 import operator_pb2 as op

from orchestrator.console.text import shown
from orchestrator.console.times import Moment, moment
from orchestrator.console.views.rows import NAME
from orchestrator.console.words import event_name

MAX_JSON: Final = 40_000
"""Characters of a payload on the page."""
_ENUMS: Final = {"phase": "PHASE_", "cause": "COMPENSATION_CAUSE_"}
_WORD_STARTS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class EventRow:
    """A journal entry."""

    seq: int
    at: Moment | None
    epoch: int
    name: str
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PayloadView:
    """A message of the saga."""

    title: str
    type: str
    json: str
    note: str


def event_row(event: event_pb2.SagaEvent, now_s: float) -> EventRow:
    """One entry, its fields in words."""
    kind = event.WhichOneof("attributes")
    details: list[tuple[str, str]] = []
    if kind is not None:
        values = json_format.MessageToDict(getattr(event, kind))
        details = [(_words(name), _value(name, value)) for name, value in values.items()]
    return EventRow(event.seq, moment(event.event_time, now_s), event.epoch, event_name(event.type), tuple(details))


def _words(name: str) -> str:
    return _WORD_STARTS.sub(" ", name).lower()


def _value(name: str, value: object) -> str:
    if isinstance(value, dict):
        return shown(", ".join(f"{_words(str(field))} {part}" for field, part in value.items()), 600)
    if name in _ENUMS:
        return str(value).removeprefix(_ENUMS[name]).lower().replace("_", " ")
    return shown(str(value), 600)


def payload_views(details: op.SagaDetails) -> tuple[PayloadView, ...]:
    """Input, messages of the steps, result."""
    found = [("input", details.input)] if details.HasField("input") else []
    for step in details.step_payloads:
        for field, title in (
            ("request", "request"),
            ("response", "response"),
            ("compensation_request", "undo request"),
        ):
            if step.HasField(field):  # type: ignore[arg-type]  # the stub wants literals
                found.append((f"{shown(step.step, NAME)}: {title}", getattr(step, field)))
    if details.HasField("result"):
        found.append(("result", details.result))
    return tuple(_payload(title, payload) for title, payload in found)


def _payload(title: str, payload: op.Payload) -> PayloadView:
    notes = [shown(payload.problem, 600)] if payload.problem else []
    if payload.truncated:
        notes.append("cut off for its size: this is no complete JSON")
    text = shown(_laid_out(payload.json), MAX_JSON, lines=True)
    return PayloadView(title, shown(payload.type, 200), text, "; ".join(notes))


def _laid_out(text: str) -> str:
    """JSON with a line for each field; anything else as it is."""
    if len(text) > MAX_JSON:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
