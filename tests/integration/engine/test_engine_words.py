"""A participant's words: what the journal keeps of them, whatever participant it is."""

import pytest
from payment.v1.payment_pb2 import ChargeRequest, RefundRequest
from payment.v1.payment_saga import PaymentService

from contracts.sensitivity import REDACTED
from orchestrator.core.state import SagaStatus
from orchestrator.definitions.registry import load_sagas
from orchestrator.definitions.saga import Saga
from orchestrator.engine.attempts import failure_of
from orchestrator.engine.ports import Answer
from orchestrator.engine.run import MAX_FAILURE_CHARS
from tests.integration.engine.harness import WAIT_S, Rig

paying = Saga("paying", version=1, input=ChargeRequest)
TOKEN = "pm_cnry7f3a"


@paying.step(PaymentService.Charge)
def charge(order: ChargeRequest) -> ChargeRequest:
    return order


@charge.compensation
def refund(order: ChargeRequest) -> RefundRequest:
    return RefundRequest(order_id=order.order_id)


async def test_the_journal_does_not_keep_what_a_participant_quotes_of_marked_fields(rig: Rig) -> None:
    registry = load_sagas([paying])
    node = await rig.node(registry=registry)
    said = f"{TOKEN} of CUS-1 was declined"
    rig.world.answers["charge/action"] = Answer(9, message=said, reason=f"no {TOKEN}", domain="payment", proven=True)
    (definition,) = registry
    order = ChargeRequest(order_id="o-1", customer_id="CUS-1", payment_method=TOKEN)
    started = await node.engine.start(definition, order, caller="local", request_id="r-1")
    standing = await node.engine.wait(started.saga_id, WAIT_S)
    assert standing is not None
    assert (standing.status, standing.failed_step) == (SagaStatus.COMPENSATED, "charge")
    assert standing.failure is not None
    assert standing.failure.message == f"{REDACTED} of CUS-1 was declined"
    assert standing.failure.reason == "FAILED_PRECONDITION"
    query = "SELECT convert_from(attributes, 'LATIN1') FROM saga_event WHERE saga_id = $1"
    journal = "".join(row[0] for row in await rig.db.fetch(query, started.saga_id))
    assert "was declined" in journal
    assert TOKEN not in journal


@pytest.mark.parametrize(
    ("reason", "kept"),
    [("OUT_OF_STOCK", "OUT_OF_STOCK"), ("", "ABORTED"), (None, "ABORTED"), ("out of stock", "ABORTED")],
)
def test_a_reason_is_a_word(reason: str | None, kept: str) -> None:
    assert failure_of(Answer(10, message="x", reason=reason)).reason == kept
    assert failure_of(Answer(10, message="x", reason="A" * 64)).reason == "ABORTED"


def test_a_message_is_bounded_and_can_be_stored() -> None:
    kept = failure_of(Answer(2, message="a\0b\ud800" + "x" * 5000)).message
    assert len(kept) == MAX_FAILURE_CHARS
    assert "\0" not in kept
    kept.encode()
