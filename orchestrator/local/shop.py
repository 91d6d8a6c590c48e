"""The shop of a demonstration beside its orders: goods come in, and the store is read."""

from typing import Final

import grpc
from inventory.v1.inventory_pb2 import ReceiveStockRequest
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from saga.v1.saga_pb2 import Saga
from saga.v1.saga_service_pb2 import ListSagasRequest
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

CALL_TIMEOUT_S: Final = 20.0
PAGE_SIZE: Final = 500


async def receive_stock(address: str, receipts: list[ReceiveStockRequest]) -> None:
    """Books the deliveries at the inventory."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = InventoryServiceStub(channel)
        for receipt in receipts:
            await stub.ReceiveStock(receipt, timeout=CALL_TIMEOUT_S)


async def list_sagas(address: str) -> list[Saga]:
    """All sagas that the store holds."""
    found: list[Saga] = []
    request = ListSagasRequest(page_size=PAGE_SIZE)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = SagaServiceStub(channel)
        while True:
            page = await stub.ListSagas(request, timeout=CALL_TIMEOUT_S)
            found.extend(page.sagas)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token
