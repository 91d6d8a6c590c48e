"""``later-order`` v1: reserve, then charge; a node may lack it."""

from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_saga import PaymentService

from orchestrator.definitions.saga import Saga

from . import brisk

later_order = Saga("later-order", version=1, input=PlaceOrderRequest)
reserve = later_order.step(InventoryService.Reserve, retry=brisk.BRISK)(brisk.reserve)
reserve.compensation(brisk.release)
charge = later_order.step(PaymentService.Charge, after=(reserve,), retry=brisk.BRISK)(brisk.charge)
charge.compensation(brisk.refund)
