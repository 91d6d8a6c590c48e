"""``parcel`` v1 again, changed under its version: it charges and reserves at once."""

from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_saga import ShippingService

from orchestrator.definitions.saga import Saga

from . import steps

parcel = Saga("parcel", version=1, input=PlaceOrderRequest)

reserve = parcel.step(InventoryService.Reserve)(steps.reserve)
reserve.compensation(steps.release)
charge = parcel.step(PaymentService.Charge)(steps.charge)
charge.compensation(steps.refund)
ship = parcel.step(ShippingService.CreateShipment, after=(reserve, charge))(steps.ship)
ship.compensation(steps.cancel_shipment)
