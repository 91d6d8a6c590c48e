"""``later-order`` v1 again, changed under its version: it charges first."""

from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_saga import PaymentService

from orchestrator.definitions.saga import Saga

from . import brisk

later_order = Saga("later-order", version=1, input=PlaceOrderRequest)
charge = later_order.step(PaymentService.Charge, retry=brisk.BRISK)(brisk.charge)
charge.compensation(brisk.refund)
reserve = later_order.step(InventoryService.Reserve, after=(charge,), retry=brisk.BRISK)(brisk.reserve)
reserve.compensation(brisk.release)
