"""Rows, views and journal entries as messages."""

from dataclasses import replace
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import event_pb2, saga_pb2

from orchestrator.core import events as ev
from orchestrator.core.state import SagaState, SagaStatus, StepState, StepStatus
from orchestrator.definitions.registry import load_sagas
from orchestrator.definitions.shipped import SAGAS
from orchestrator.engine.api import SagaView
from orchestrator.engine.journal import encode
from orchestrator.engine.stored import RowState, StoredEntry, StoredSaga
from orchestrator.rpc.messages import event_message, saga_message, view_message

SAGA_ID = UUID("01900000-0000-7000-8000-000000000001")
NODE_ID = UUID("01900000-0000-7000-8000-0000000000aa")
FOUND = load_sagas(SAGAS).find("place-order", 1)
assert FOUND is not None
DEFINITION = FOUND
FAILURE = ev.Failure(9, "CARD_DECLINED", "declined")

STORED = StoredSaga(
    saga_id=SAGA_ID,
    definition="place-order",
    version=1,
    digest=DEFINITION.digest,
    caller="local",
    request_id="r-1",
    request_hash=b"h",
    concurrency_key=None,
    input=b"",
    owner=None,
    epoch=(1 << 32) + 5,
    last_seq=7,
    row=RowState(SagaStatus.RUNNING, deadline_us=3_000_000),
    wake_at_us=None,
    created_us=1_000_001,
    updated_us=2_000_000,
    ended_us=None,
)


def test_a_row_without_failure_owner_and_end() -> None:
    assert saga_message(STORED) == saga_pb2.Saga(
        saga_id=str(SAGA_ID),
        definition="place-order",
        version=1,
        digest=DEFINITION.digest.hex(),
        state=saga_pb2.SAGA_STATE_RUNNING,
        caller="local",
        request_id="r-1",
        epoch=(1 << 32) + 5,
        last_seq=7,
        create_time=Timestamp(seconds=1, nanos=1_000),
        update_time=Timestamp(seconds=2),
        deadline_time=Timestamp(seconds=3),
    )


def test_a_row_with_everything() -> None:
    row = RowState(SagaStatus.COMPENSATED, 3_000_000, "charge", 9, "CARD_DECLINED", "declined")
    saga = saga_message(replace(STORED, row=row, owner=NODE_ID, concurrency_key="o-1", ended_us=4_000_000))
    assert saga.owner_node_id == str(NODE_ID)
    assert saga.concurrency_key == "o-1"
    assert saga.end_time == Timestamp(seconds=4)
    assert saga.failed_step == "charge"
    assert saga.failure == saga_pb2.Failure(code=9, reason="CARD_DECLINED", message="declined")


@pytest.mark.parametrize(
    ("status", "loaded", "blocked", "expected"),
    [
        (SagaStatus.RUNNING, True, None, ""),
        (SagaStatus.RUNNING, True, "NO_ADDRESS", "NO_ADDRESS"),
        (SagaStatus.RUNNING, False, "NO_ADDRESS", "definition place-order v1 is loaded by no live node"),
        (SagaStatus.COMPENSATING, False, None, "definition place-order v1 is loaded by no live node"),
        (SagaStatus.STUCK, False, None, ""),
        (SagaStatus.COMPLETED, False, None, ""),
    ],
)
def test_why_a_saga_is_blocked(status: SagaStatus, loaded: bool, blocked: str | None, expected: str) -> None:
    row = RowState(status, 0, blocked_reason=blocked)
    assert saga_message(replace(STORED, row=row, definition_loaded=loaded)).blocked_reason == expected


def test_a_view_shows_each_step() -> None:
    steps = (
        StepState(StepStatus.SUCCEEDED, attempts=2, next_attempt_us=9_000_000),
        StepState(StepStatus.RUNNING, attempts=1, next_attempt_us=9_000_000, failure=FAILURE),
        StepState(blocked=ev.Failure(12, "NO_ADDRESS", "no address")),
    )
    view = SagaView(STORED, DEFINITION, SagaState(str(SAGA_ID), SagaStatus.RUNNING, steps), b"result")
    saga = view_message(view)
    assert saga.result == b"result"
    reserve, charge, ship = saga.steps
    assert reserve == saga_pb2.Step(
        name="reserve",
        kind=saga_pb2.STEP_KIND_COMPENSATABLE,
        state=saga_pb2.STEP_STATE_SUCCEEDED,
        method="inventory.v1.InventoryService/Reserve",
        compensation_method="inventory.v1.InventoryService/Release",
        attempts=2,
    )
    assert charge.next_attempt_time == Timestamp(seconds=9)
    assert (charge.failure.reason, list(charge.after)) == ("CARD_DECLINED", ["reserve"])
    assert (ship.blocked_reason, list(ship.after)) == ("NO_ADDRESS: no address", ["charge"])


EVENTS: list[ev.Event] = [
    ev.SagaStarted(1),
    ev.SagaClaimed(str(NODE_ID)),
    ev.StepIntended(0),
    ev.AttemptFailed(0, ev.Phase.ACTION, 1, FAILURE, True, True, 5, 6),  # noqa: FBT003  (fields of the journal)
    ev.StepBlocked(0, ev.Phase.ACTION, FAILURE, 5),
    ev.StepSucceeded(0, 1, b"r", 6),
    ev.StepRejected(0, 1, FAILURE, 6),
    ev.StepUnknown(0, 1, FAILURE, 6),
    ev.CompensationStarted(ev.CompensationCause.STEP_FAILED, 0, FAILURE),
    ev.StepCompensated(0, 1, 6),
    ev.SagaCompleted(),
    ev.SagaCompensated(),
    ev.SagaStuck(None, ev.Phase.ACTION, FAILURE),
    ev.DeadlinePassed(),
    ev.RequestConsumed(1, "cancel", None),
    ev.SagaPaused(),
    ev.SagaUnpaused(),
    ev.StepRetried(0, ev.Phase.ACTION),
    ev.SkipBegun(0, b"r"),
    ev.StepSkipped(0),
    ev.ResolutionBegun(),
    ev.StepSettled(0, done=True, undone=False, response=b"r", duration_ms=6),
    ev.SagaResolved(),
]


def test_every_event_keeps_its_attributes() -> None:
    shown = set()
    for seq, event in enumerate(EVENTS, start=1):
        kind, attributes = encode(("reserve",), event)
        message = event_message(SAGA_ID, StoredEntry(seq, kind, attributes, 1_500_000, 7))
        assert (message.saga_id, message.seq, message.epoch, message.type) == (str(SAGA_ID), seq, 7, kind)
        assert message.event_time == Timestamp(seconds=1, nanos=500_000_000)
        name = message.WhichOneof("attributes")
        assert name is not None
        assert getattr(message, name).SerializeToString() == attributes
        shown.add(name)
    assert shown == {field.name for field in event_pb2.SagaEvent.DESCRIPTOR.oneofs_by_name["attributes"].fields}


def test_an_event_of_a_newer_program_keeps_its_number() -> None:
    message = event_message(SAGA_ID, StoredEntry(1, 999, b"\x08\x01", 0, 7))
    assert (message.type, message.WhichOneof("attributes")) == (999, None)
