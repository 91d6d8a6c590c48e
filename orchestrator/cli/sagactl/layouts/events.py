"""Entries of the journal as lines."""

from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text
from saga.v1 import event_pb2, saga_pb2

from orchestrator.cli.sagactl.layouts.plans import PHASES, failure_text
from orchestrator.cli.sagactl.layouts.tables import STYLES
from orchestrator.cli.sagactl.words import clock, span, word

_TYPES = event_pb2.EventType.DESCRIPTOR


def event_line(event: event_pb2.SagaEvent) -> Text:
    """``  7 2026-05-01 08:30:00Z STEP_SUCCEEDED reserve attempt=1 took=12ms``."""
    name = word(_TYPES, event.type)
    style = next((style for end, style in STYLES.items() if name.endswith(end)), "")
    line = Text.assemble((f"{event.seq:>4} {clock(event.event_time)} ", "dim"), (name, style))
    details = " ".join(_details(event))
    if details:
        line.append(f" {details}")
    return line


def _details(event: event_pb2.SagaEvent) -> list[str]:
    """Whatever the event tells, also one of a newer contract; responses are left out."""
    which = event.WhichOneof("attributes")
    if which is None:
        return []
    details: list[str] = []
    for field, value in getattr(event, which).ListFields():
        if isinstance(value, saga_pb2.Failure):
            details.append(f"{field.name}={failure_text(value)}")
        elif isinstance(value, Timestamp):
            details.append(f"{field.name.removesuffix('_time')}={clock(value)}")
        elif field.name == "duration_ms":
            details.append(f"took={span(value / 1000)}")
        elif field.name == "phase":
            details.append(word(PHASES, value).lower())
        elif field.enum_type is not None:
            details.append(f"{field.name}={word(field.enum_type, value).lower()}")
        elif field.name == "step":
            details.append(value)
        elif isinstance(value, bool):
            details.append(field.name)
        elif not isinstance(value, bytes):
            details.append(f"{field.name}={value}")
    return details
