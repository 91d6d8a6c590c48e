"""What the type checker must catch in a definition. Not run: each ignored error is one that ``mypy`` reports, and
``warn_unused_ignores`` fails the check if one of them goes unnoticed."""

from inventory.v1.inventory_pb2 import ConfirmReservationRequest, ReleaseRequest, ReserveRequest, ReserveResponse
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest, PlaceOrderResponse

from orchestrator.definitions import Saga

saga = Saga(
    "trial",
    version=1,
    input=PlaceOrderRequest,
    output=PlaceOrderResponse,
    concurrency_key=lambda order: order.order_id,
)
wrong_field_in_key = Saga(
    "trial",
    version=1,
    input=PlaceOrderRequest,
    concurrency_key=lambda order: order.id,  # type: ignore[attr-defined]  # PlaceOrderRequest has no such field
)
wrong_type_of_key = Saga(
    "trial",
    version=1,
    input=PlaceOrderRequest,
    concurrency_key=lambda order: order.express,  # type: ignore[arg-type,return-value]  # a bool is no key
)


@saga.step(InventoryService.Reserve, kind="final")  # type: ignore[arg-type]  # no such kind
def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    return ReserveRequest(order=order.order_id)  # type: ignore[call-arg]  # ReserveRequest has no such field


@reserve.compensation
def release(order: PlaceOrderRequest, reserve: ReserveResponse | None) -> ReleaseRequest:
    return ReleaseRequest(reservation_id=reserve.reservation_id)  # type: ignore[union-attr]  # it may be None


@reserve.compensation  # type: ignore[type-var]  # a compensation builds a message
def release_as_text(order: PlaceOrderRequest) -> str:
    return order.order_id


@saga.step(InventoryService.ConfirmReservation, kind="retriable", after=(reserve, "pivot"))
def confirm(order: PlaceOrderRequest, reserve: ReserveResponse) -> ConfirmReservationRequest:
    return ConfirmReservationRequest(reservation_id=reserve.id)  # type: ignore[attr-defined]  # no such field


@saga.step(InventoryService.ConfirmReservation)  # type: ignore[arg-type]  # another method's request
def wrong_request(order: PlaceOrderRequest) -> ReserveRequest:
    return ReserveRequest(order_id=order.order_id)


@saga.step("inventory.v1.InventoryService/Reserve")  # type: ignore[arg-type]  # a method is bound by its handle
def by_name(order: PlaceOrderRequest) -> ReserveRequest:
    return ReserveRequest()


@saga.result  # type: ignore[arg-type]  # another message than the output
def wrong_output(order: PlaceOrderRequest) -> ReserveRequest:
    return ReserveRequest()


@wrong_field_in_key.result  # type: ignore[arg-type]  # a saga without output has no result
def no_output(order: PlaceOrderRequest) -> PlaceOrderResponse:
    return PlaceOrderResponse()


reserve("o-1")  # type: ignore[arg-type]  # a step is called like its builder
