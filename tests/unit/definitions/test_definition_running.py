"""What the engine calls: builders get what they name, bytes are stable, and failing code is told without payload."""

import pytest
from grpc import StatusCode
from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest, ReserveResponse
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest as Order
from orders.v1.orders_pb2 import PlaceOrderResponse
from payment.v1.payment_pb2 import ChargeRequest, ChargeResponse, RefundRequest
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import GetShippingReportRequest
from shipping.v1.shipping_saga import ShippingService

from orchestrator.core.definition import RetryPolicy, StepKind
from orchestrator.core.outcome import Outcome
from orchestrator.definitions.errors import BuilderError, ConcurrencyKeyError, PayloadError
from orchestrator.definitions.loading import load
from orchestrator.definitions.saga import Saga
from tests.unit.definitions import odd_contracts as odd
from tests.unit.definitions.declaring import add_reserve, new_saga


def test_parameters_are_filled_by_name_and_type() -> None:
    saga = Saga("trial", version=1, input=Order, output=PlaceOrderResponse)

    @saga.step(InventoryService.Reserve)
    def reserve(anything: Order) -> ReserveRequest:
        return ReserveRequest(order_id=anything.order_id)

    @reserve.compensation
    def release(reserve: ReserveResponse | None, order: Order) -> ReleaseRequest:
        return ReleaseRequest(order_id=order.order_id, reservation_id=reserve.reservation_id if reserve else "none")

    @saga.step(PaymentService.Charge)
    def charge(reserve: ReserveResponse, order: Order) -> ChargeRequest:
        return ChargeRequest(order_id=order.order_id, customer_id=reserve.reservation_id)

    @charge.compensation
    def refund(charge: ChargeResponse | None, reserve: ReserveResponse | None, order: Order) -> RefundRequest:
        return RefundRequest(order_id=order.order_id, payment_id=reserve.reservation_id if reserve else "none")

    @saga.result
    def placed(charge: ChargeResponse) -> PlaceOrderResponse:
        return PlaceOrderResponse(payment_id=charge.payment_id)

    assert reserve(Order(order_id="o-1")) == ReserveRequest(order_id="o-1")  # a step is still the function it was

    found = load(saga)
    order = Order(order_id="o-1")
    responses = [ReserveResponse(reservation_id="r-1"), ChargeResponse(payment_id="p-1")]
    assert found.spec.steps[1].predecessors == (0,)
    assert ChargeRequest.FromString(found.build_action(1, order, responses[:1])).customer_id == "r-1"
    assert ReleaseRequest.FromString(found.build_compensation(0, order, responses)).reservation_id == "r-1"
    assert ReleaseRequest.FromString(found.build_compensation(0, order, [None, None])).reservation_id == "none"
    assert RefundRequest.FromString(found.build_compensation(1, order, responses)).payment_id == "r-1"
    assert PlaceOrderResponse.FromString(found.build_result(order, responses)).payment_id == "p-1"
    assert found.parse_response(1, responses[1].SerializeToString()) == responses[1]
    assert found.concurrency_key(order) is None


def test_a_definition_without_output_has_an_empty_result() -> None:
    saga = new_saga()
    add_reserve(saga)
    assert load(saga).build_result(Order(), [None]) == b""


def test_kinds_barriers_and_policies_reach_the_core() -> None:
    saga = Saga("trial", version=1, input=Order)

    @saga.step(ShippingService.GetShippingReport)
    def report(order: Order) -> GetShippingReportRequest:
        return GetShippingReportRequest()

    @saga.step(
        odd.BARE_ACT,
        retry=RetryPolicy(max_attempts=3),
        timeout_s=2,
        compensation_timeout_s=4,
        reclassify={StatusCode.NOT_FOUND: Outcome.UNKNOWN},
        compensation_reclassify={StatusCode.ABORTED: Outcome.MISCONFIGURED},
    )
    def act(order: Order) -> odd.Do:
        return odd.Do(order_id=order.order_id)

    @act.compensation
    def undo(order: Order) -> odd.Undo:
        return odd.Undo(order_id=order.order_id)

    found = load(saga)
    report_spec, act_spec = found.spec.steps
    assert (report_spec.kind, report_spec.has_compensation, report_spec.has_barrier) == (
        StepKind.READ_ONLY,
        False,
        True,
    )
    assert (act_spec.kind, act_spec.has_compensation, act_spec.has_barrier) == (StepKind.COMPENSATABLE, True, False)
    assert (act_spec.retry.max_attempts, act_spec.timeout_s, act_spec.compensation_timeout_s) == (3, 2.0, 4.0)
    bound = found.steps[1]
    assert not bound.can_settle
    assert (bound.reclassify, bound.compensation_reclassify) == ({5: Outcome.UNKNOWN}, {10: Outcome.MISCONFIGURED})
    assert bound.compensation is not None
    assert bound.compensation.full_name == "odd.v1.BareParts/Revert"
    assert bound.compensation.request is odd.Undo


def test_a_compensation_may_be_named_with_its_service() -> None:
    saga = Saga("trial", version=1, input=Order)

    @saga.step(odd.parts("Spelt"))
    def act(order: Order) -> odd.Do:
        return odd.Do()

    @act.compensation
    def undo(order: Order) -> odd.Undo:
        return odd.Undo()

    compensation = load(saga).steps[0].compensation
    assert compensation is not None
    assert compensation.full_name == "odd.v1.Parts/Revert"


def test_malformed_bytes_are_a_payload_error() -> None:
    saga = new_saga()
    add_reserve(saga)
    found = load(saga)
    for parse in (found.parse_input, lambda data: found.parse_response(0, data)):
        with pytest.raises(PayloadError, match=r"saga trial v1: the 3 bytes of the .* are no ") as caught:
            parse(b"\xff\xff\xff")
        assert caught.value.__cause__ is None


def test_failing_code_is_told_without_payload() -> None:
    saga = new_saga()

    @saga.step(InventoryService.Reserve, kind="pivot")
    def step(order: Order) -> ReserveRequest:
        if order.customer_id == "secret":
            raise ValueError(f"cannot serve {order.customer_id}")
        if order.customer_id == "wrong":
            return ChargeRequest()  # type: ignore[return-value]  # the point of the test
        return ReserveRequest(order_id=order.order_id)

    @saga.step(PaymentService.Charge, kind="retriable", after=(step,))
    def charge(step: ReserveResponse) -> ChargeRequest:
        return ChargeRequest(order_id=step.reservation_id)

    found = load(saga)
    with pytest.raises(BuilderError) as caught:
        found.build_action(0, Order(customer_id="secret"), [])
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert (caught.value.step, caught.value.phase) == ("step", "action")
    assert "ValueError raised at test_definition_running.py:" in str(caught.value)
    with pytest.raises(BuilderError, match="ChargeRequest was built where ReserveRequest is needed"):
        found.build_action(0, Order(customer_id="wrong"), [])
    with pytest.raises(BuilderError, match="which was given None for a step that has no response"):
        found.build_action(1, Order(), [None, None])


def test_concurrency_keys_are_bounded() -> None:
    saga = new_saga()

    @saga.concurrency_key
    def key(order: Order) -> str:
        if order.customer_id == "secret":
            raise ValueError(order.customer_id)
        return order.order_id

    add_reserve(saga)
    found = load(saga)
    assert found.concurrency_key(Order(order_id="x" * 256)) == "x" * 256
    for order_id in ("", "x" * 257, "a\0b"):
        with pytest.raises(ConcurrencyKeyError, match=f"of this input has {len(order_id)} characters"):
            found.concurrency_key(Order(order_id=order_id))
    with pytest.raises(BuilderError, match="concurrency key: ValueError raised at") as caught:
        found.concurrency_key(Order(customer_id="secret"))
    assert "secret" not in str(caught.value)
