"""``parcel`` v2: charge, reserve, ship."""

from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_saga import ShippingService

from orchestrator.definitions.saga import Saga

from . import steps

parcel = Saga("parcel", version=2, input=PlaceOrderRequest)

charge = parcel.step(PaymentService.Charge)(steps.charge)
charge.compensation(steps.refund)
reserve = parcel.step(InventoryService.Reserve, after=(charge,))(steps.reserve)
reserve.compensation(steps.release)
ship = parcel.step(ShippingService.CreateShipment, after=(reserve,))(steps.ship)
ship.compensation(steps.cancel_shipment)
