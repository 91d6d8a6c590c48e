"""What shipping does for each method of its contract."""

from uuid import UUID

import grpc
from shipping.v1.shipping_pb2 import (
    SERVICE_LEVEL_EXPRESS,
    CancelShipmentRequest,
    CancelShipmentResponse,
    CreateShipmentRequest,
    CreateShipmentResponse,
    GetShippingReportRequest,
    GetShippingReportResponse,
    NotifyCarrierRequest,
    NotifyCarrierResponse,
)
from shipping.v1.shipping_saga import ShippingService
from sqlalchemy.ext.asyncio import AsyncConnection

from participants.kit import Participant, Rejected, StepContext
from participants.shipping import rules, store
from participants.shipping.schema import ShipmentState


def participant() -> Participant:
    """Shipping, bound to its contract."""
    bound = Participant("shipping")
    bound.action(ShippingService.CreateShipment, create_shipment)
    bound.compensation(ShippingService.CancelShipment, cancel_shipment)
    bound.action(ShippingService.NotifyCarrier, notify_carrier)
    bound.query(ShippingService.GetShippingReport, report)
    return bound


async def create_shipment(
    request: CreateShipmentRequest, step: StepContext, db: AsyncConnection
) -> CreateShipmentResponse:
    """Books a parcel with the carrier that serves the address."""
    to = request.destination
    express = request.service_level == SERVICE_LEVEL_EXPRESS
    fault = rules.undeliverable(to.region_code, to.postal_code, to.address_lines, express=express)
    if fault is not None:
        raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "UNDELIVERABLE", fault)
    new = store.NewShipment(
        shipment_id=step.effect_id,
        order_id=request.order_id,
        warehouse_id=request.warehouse_id,
        carrier=rules.REGIONS[to.region_code].carrier,
        tracking_number=rules.tracking_number(to.region_code, step.effect_id),
        express=express,
        recipient=to.recipient,
        address_lines=list(to.address_lines),
        locality=to.locality,
        postal_code=to.postal_code,
        region_code=to.region_code,
        skus=[parcel.sku for parcel in request.parcels],
        quantities=[parcel.quantity for parcel in request.parcels],
    )
    await store.book(db, new)
    return CreateShipmentResponse(
        shipment_id=str(step.effect_id), tracking_number=new.tracking_number, carrier=new.carrier
    )


async def cancel_shipment(
    request: CancelShipmentRequest, step: StepContext, db: AsyncConnection
) -> CancelShipmentResponse:
    """Takes the booking back, unless the parcel is on its way."""
    if request.shipment_id not in ("", str(step.effect_id)):
        text = "the shipment is not the one that this step made"
        raise Rejected(grpc.StatusCode.INVALID_ARGUMENT, "SHIPMENT_MISMATCH", text)
    shipment = await store.lock(db, step.effect_id)
    assert shipment is not None, "the barrier says that the shipment was booked"
    _check_booked(shipment)
    await store.cancel(db, step.effect_id)
    return CancelShipmentResponse()


async def notify_carrier(
    request: NotifyCarrierRequest, step: StepContext, db: AsyncConnection
) -> NotifyCarrierResponse:
    """Hands the parcel over."""
    unknown = Rejected(grpc.StatusCode.NOT_FOUND, "UNKNOWN_SHIPMENT", "this order has no shipment of this id")
    try:
        shipment_id = UUID(request.shipment_id)
    except ValueError:
        raise unknown from None
    shipment = await store.lock(db, shipment_id)
    if shipment is None or shipment.order_id != request.order_id:
        raise unknown
    _check_booked(shipment)
    pickup_reference = f"PU-{step.effect_id.hex[:16].upper()}"
    await store.hand_over(db, shipment_id, pickup_reference)
    return NotifyCarrierResponse(pickup_reference=pickup_reference)


def _check_booked(shipment: store.Shipment) -> None:
    if shipment.state is not ShipmentState.BOOKED:
        state = shipment.state.name
        text = f"the shipment is {state.lower().replace('_', ' ')} already"
        raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, f"SHIPMENT_{state}", text)


async def report(_request: GetShippingReportRequest, db: AsyncConnection) -> GetShippingReportResponse:
    """Counts what really happened."""
    counts = await store.counts(db)
    return GetShippingReportResponse(
        booked_shipments=counts.booked,
        cancelled_shipments=counts.cancelled,
        handed_over_shipments=counts.handed_over,
    )
