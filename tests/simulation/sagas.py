"""Sagas with what the shipped ones do not have: questions, participants without a barrier, builders that raise."""

from collections.abc import Mapping
from typing import Final

from inventory.v1.inventory_pb2 import ConfirmReservationRequest, ReleaseRequest, ReserveRequest, ReserveResponse
from inventory.v1.inventory_saga import InventoryService
from payment.v1.payment_pb2 import AuthorizeRequest, ChargeRequest, RefundRequest, VoidAuthorizationRequest
from payment.v1.payment_saga import PaymentService

from orchestrator.definitions.saga import Saga
from tests.integration.engine.sagas import QUICK
from tests.simulation.contract import LOOK, SEND, SET, Ask, Told

RAISES: Final[Mapping[str, Mapping[str, bytes]]] = {
    "poisoned v1": {"take/ACTION": b"7", "pay/ACTION": b"5", "take/COMPENSATION": b"3"}
}
"""By definition and builder: how the inputs end for which it raises."""

looked = Saga("looked", version=1, input=ReserveRequest, deadline_s=600.0)
"""Asks before, between and beside what it does; every answer differs."""


@looked.step(LOOK, retry=QUICK)
def look(order: ReserveRequest) -> Ask:
    return Ask(order_id=order.order_id)


@looked.step(InventoryService.Reserve, retry=QUICK, compensation_retry=QUICK)
def reserve(order: ReserveRequest, look: Told) -> ReserveRequest:
    return ReserveRequest(order_id=order.order_id, warehouse_id=look.warehouse_id)


@reserve.compensation
def release(order: ReserveRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)


@looked.step(LOOK, retry=QUICK)
def look_again(reserve: ReserveResponse) -> Ask:
    return Ask(order_id=reserve.reservation_id)


@looked.step(PaymentService.Charge, retry=QUICK, compensation_retry=QUICK)
def charge(order: ReserveRequest, look_again: Told) -> ChargeRequest:
    return ChargeRequest(order_id=order.order_id, customer_id=look_again.warehouse_id)


@charge.compensation
def refund(order: ReserveRequest) -> RefundRequest:
    return RefundRequest(order_id=order.order_id)


bare = Saga("bare", version=1, input=ReserveRequest, deadline_s=600.0)
"""A participant without a barrier between two with one."""


@bare.step(InventoryService.Reserve, retry=QUICK, compensation_retry=QUICK)
def before(order: ReserveRequest) -> ReserveRequest:
    return ReserveRequest(order_id=order.order_id)


@before.compensation
def unbefore(order: ReserveRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)


@bare.step(SET, after=(before,), retry=QUICK, compensation_retry=QUICK)
def put(order: ReserveRequest) -> Ask:
    return Ask(order_id=order.order_id)


@put.compensation
def unput(order: ReserveRequest) -> Ask:
    return Ask(order_id=order.order_id)


@bare.step(PaymentService.Charge, after=(put,), retry=QUICK, compensation_retry=QUICK)
def after(order: ReserveRequest) -> ChargeRequest:
    return ChargeRequest(order_id=order.order_id)


@after.compensation
def unafter(order: ReserveRequest) -> RefundRequest:
    return RefundRequest(order_id=order.order_id)


bare_pivot = Saga("bare-pivot", version=1, input=ReserveRequest, deadline_s=600.0)
"""A pivot that nobody can settle."""


@bare_pivot.step(PaymentService.Authorize, retry=QUICK, compensation_retry=QUICK)
def authorize(order: ReserveRequest) -> AuthorizeRequest:
    return AuthorizeRequest(order_id=order.order_id)


@authorize.compensation
def void(order: ReserveRequest) -> VoidAuthorizationRequest:
    return VoidAuthorizationRequest(order_id=order.order_id)


@bare_pivot.step(SEND, kind="pivot", after=(authorize,), retry=QUICK)
def send(order: ReserveRequest) -> Ask:
    return Ask(order_id=order.order_id)


@bare_pivot.step(InventoryService.ConfirmReservation, kind="retriable", after=(send,), retry=QUICK)
def confirm(order: ReserveRequest) -> ConfirmReservationRequest:
    return ConfirmReservationRequest(order_id=order.order_id)


poisoned = Saga("poisoned", version=1, input=ReserveRequest, deadline_s=600.0)
"""Its builders raise for some orders: see :data:`RAISES`."""


@poisoned.step(InventoryService.Reserve, retry=QUICK, compensation_retry=QUICK)
def take(order: ReserveRequest) -> ReserveRequest:
    if order.order_id.endswith("7"):
        raise ValueError("no such order")
    return ReserveRequest(order_id=order.order_id)


@take.compensation
def give_back(order: ReserveRequest) -> ReleaseRequest:
    if order.order_id.endswith("3"):
        raise ValueError("no such order")
    return ReleaseRequest(order_id=order.order_id)


@poisoned.step(PaymentService.Charge, after=(take,), retry=QUICK, compensation_retry=QUICK)
def pay(order: ReserveRequest) -> ChargeRequest:
    if order.order_id.endswith("5"):
        raise KeyError(order.order_id)
    return ChargeRequest(order_id=order.order_id)


@pay.compensation
def pay_back(order: ReserveRequest) -> RefundRequest:
    return RefundRequest(order_id=order.order_id)


ALL: Final = (looked, bare, bare_pivot, poisoned)
