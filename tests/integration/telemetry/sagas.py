"""A saga of two steps at one participant, the second after the first."""

from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest, ReserveResponse
from inventory.v1.inventory_saga import InventoryService

from orchestrator.core.definition import RetryPolicy
from orchestrator.definitions.saga import Saga

QUICK = RetryPolicy(initial_backoff_s=0.02, max_backoff_s=0.05, max_attempts=4, budget_s=30.0)

pair = Saga("pair", version=1, input=ReserveRequest, deadline_s=600.0)


@pair.step(InventoryService.Reserve, retry=QUICK, compensation_retry=QUICK)
def first(order: ReserveRequest) -> ReserveRequest:
    return order


@first.compensation
def undo_first(order: ReserveRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)


@pair.step(InventoryService.Reserve, after=(first,), retry=QUICK, compensation_retry=QUICK)
def second(order: ReserveRequest, first: ReserveResponse) -> ReserveRequest:
    return order


@second.compensation
def undo_second(order: ReserveRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)
