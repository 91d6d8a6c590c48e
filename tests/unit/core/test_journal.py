"""The stored form of every event: what is read is what was written, and what is unknown is said so."""

from dataclasses import fields
from typing import get_args

import pytest
from google.protobuf.message import Message
from saga.v1 import event_pb2 as pb

from orchestrator.core import events as ev
from orchestrator.core.events import CompensationCause, Event, Failure, Phase
from orchestrator.core.fold import _FOLDS
from orchestrator.engine.journal import JournalError, decode, encode

NAMES = ("reserve", "charge")
NO = Failure(9, "OUT_OF_STOCK", "none left of «é»")
WHEN = 1_700_000_000_123_456

EVERY: list[Event] = [
    ev.SagaStarted(WHEN, b"\x01trace"),
    ev.SagaStarted(0),
    ev.SagaClaimed("node-1", crashed=True),
    ev.SagaClaimed("node-1", crashed=False),
    ev.StepIntended(0),
    *(
        ev.AttemptFailed(1, phase, 3, NO, unknown, counted, WHEN, 17)
        for phase in Phase
        for unknown, counted in [(True, True), (False, True), (False, False)]
    ),
    *(ev.StepBlocked(1, phase, NO, WHEN) for phase in Phase),
    ev.StepSucceeded(0, 1, b"\x00\xff", 12),
    ev.StepSucceeded(1, 0, b"", 0),
    ev.StepRejected(1, 2, NO, 12),
    ev.StepUnknown(0, 10, Failure(0, "", ""), 2**40),
    *(ev.CompensationStarted(cause, step, NO) for cause in CompensationCause for step in (None, 0, 1)),
    ev.StepCompensated(1, 2, 3),
    ev.SagaCompleted(),
    ev.SagaCompensated(),
    *(ev.SagaStuck(step, phase, NO) for phase in Phase for step in (None, 0, 1)),
    ev.SagaStuck(1, Phase.COMPENSATION, NO, 10),
    ev.DeadlinePassed(),
    ev.RequestConsumed(2**40, "cancel", None),
    ev.RequestConsumed(1, "cancel", NO),
    ev.RequestConsumed(1, "retry", None, "ann", "the card was replaced"),
    ev.SagaPaused(),
    ev.SagaUnpaused(),
    *(ev.StepRetried(step, phase) for phase in Phase for step in (None, 0, 1)),
    ev.SkipBegun(1, b"\x00\xff"),
    ev.StepSkipped(1),
    ev.ResolutionBegun(),
    *(ev.StepSettled(1, done, not done, b"\x00\xff", 12) for done in (True, False)),
    ev.SagaResolved(),
]


def test_every_kind_is_tried() -> None:
    assert {type(event) for event in EVERY} == set(get_args(Event)) == set(_FOLDS)
    kinds = {encode(NAMES, event)[0] for event in EVERY}
    assert kinds == set(pb.EventType.values()) - {pb.EVENT_TYPE_UNSPECIFIED}


@pytest.mark.parametrize("event", EVERY, ids=repr)
def test_what_is_read_is_what_was_written(event: Event) -> None:
    kind, attributes = encode(NAMES, event)
    assert decode(NAMES, kind, attributes) == event
    assert encode(NAMES, event) == (kind, attributes)


def test_a_field_that_is_lost_would_be_noticed() -> None:
    """For every field some sample holds what protobuf would not give back by default."""
    empty = (0, False, "", b"", None)
    named = {"step"}  # stored as a name, so that 0 is no default
    for kind in get_args(Event):
        samples = [event for event in EVERY if type(event) is kind]
        for field in fields(kind):
            told = field.name in named or any(getattr(event, field.name) not in empty for event in samples)
            assert told, (kind, field.name)


def test_a_newer_programs_fields_are_passed_over() -> None:
    kind, attributes = encode(NAMES, ev.StepIntended(1))
    assert decode(NAMES, kind, attributes + b"\xf8\x07\x01") == ev.StepIntended(1)


def test_an_unknown_kind_or_step_is_said() -> None:
    with pytest.raises(JournalError, match="kind 99"):
        decode(NAMES, 99, b"")
    stored: Message = pb.StepIntended(step="ship")
    with pytest.raises(JournalError, match="'ship'"):
        decode(NAMES, pb.EVENT_TYPE_STEP_INTENDED, stored.SerializeToString())
