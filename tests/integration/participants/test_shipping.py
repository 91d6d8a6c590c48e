"""Where parcels go, and until when they come back."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from commerce.v1.address_pb2 import Address
from shipping.v1 import shipping_pb2 as ship_pb
from shipping.v1.shipping_saga import ShippingService

from participants.shipping import handlers as shipping
from participants.shipping.schema import metadata
from tests.fixtures.postgres import DatabaseFactory
from tests.integration.participants.calls import call, verdict
from tests.integration.participants.conftest import Served, schema_faults, serving


@pytest.fixture
async def dock(fresh_database: DatabaseFactory) -> AsyncIterator[Served]:
    """Shipping."""
    async with serving(shipping.participant(), await fresh_database("shipping")) as served:
        yield served


def parcel(region: str = "DE", postal_code: str = "10115", line: str = "Street 1", **fields: Any) -> Any:
    to = Address(recipient="R", address_lines=[line], locality="L", postal_code=postal_code, region_code=region)
    parcels = [ship_pb.Parcel(sku="A-1", quantity=2), ship_pb.Parcel(sku="A-1", quantity=1)]
    return ship_pb.CreateShipmentRequest(order_id="o", warehouse_id="w1", destination=to, parcels=parcels, **fields)


async def hand_over(served: Served, shipment_id: str) -> ship_pb.NotifyCarrierResponse:
    request = ship_pb.NotifyCarrierRequest(order_id="o", shipment_id=shipment_id)
    return await served.caller("notify").act(ShippingService.NotifyCarrier, request)


async def test_shipment_states(dock: Served) -> None:
    kept, dropped = dock.caller(), dock.caller()
    shipment = await kept.act(ShippingService.CreateShipment, parcel())
    assert shipment.carrier == "DHL"
    assert shipment.tracking_number.startswith("DE")
    cancelled = await dropped.act(ShippingService.CreateShipment, parcel())
    await dropped.undo(ShippingService.CancelShipment, ship_pb.CancelShipmentRequest(order_id="o"))
    assert (await hand_over(dock, shipment.shipment_id)).pickup_reference
    assert await verdict(hand_over(dock, shipment.shipment_id)) == "SHIPMENT_HANDED_OVER"
    assert await verdict(hand_over(dock, cancelled.shipment_id)) == "SHIPMENT_CANCELLED"
    assert await verdict(hand_over(dock, "none")) == "UNKNOWN_SHIPMENT"
    late = kept.undo(ShippingService.CancelShipment, ship_pb.CancelShipmentRequest(order_id="o"))
    assert await verdict(late) == "SHIPMENT_HANDED_OVER"
    report = await call(dock.channel, ShippingService.GetShippingReport, ship_pb.GetShippingReportRequest())
    assert (report.booked_shipments, report.cancelled_shipments, report.handed_over_shipments) == (0, 1, 1)


async def test_undeliverable(dock: Served) -> None:
    express = ship_pb.SERVICE_LEVEL_EXPRESS
    for request in (
        parcel(region="AQ"),
        parcel(postal_code="ABC"),
        parcel(line="Postfach 12", service_level=express),
        parcel(line="P.O. Box 12", service_level=express),
        parcel(region="CZ", postal_code="110 00", service_level=express),
    ):
        assert await verdict(dock.caller().act(ShippingService.CreateShipment, request)) == "UNDELIVERABLE"
    assert await verdict(dock.caller().act(ShippingService.CreateShipment, parcel(line="Postfach 12"))) == "OK"


async def test_migrations_and_tables_agree(fresh_database: DatabaseFactory) -> None:
    assert await schema_faults(fresh_database, "shipping", metadata) == []
