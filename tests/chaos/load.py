"""The callers: they start sagas, repeat what was not answered under the same request_id, and remember what was told."""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import grpc
from commerce.v1.address_pb2 import Address
from commerce.v1.money_pb2 import Money
from inventory.v1.inventory_pb2 import ReceiveStockRequest, StockLine
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from orders.v1.orders_pb2 import OrderLine, PlaceOrderRequest
from saga.v1.saga_service_pb2 import CancelSagaRequest, StartSagaRequest
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from tests.chaos.world import Actor, World

if TYPE_CHECKING:  # the stubs alone know it
    from saga.v1.saga_service_pb2_grpc import SagaServiceAsyncStub

SKUS: Final = tuple(f"MUG-{number:02}" for number in range(16))
FAULTS: Final = ("", "declined", "", "undeliverable", "", "", "undeliverable", "")
CALL_S: Final = 5.0
IN_DOUBT: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
}
DEFINITIONS: Final = (("brisk-order", 1), ("brisk-order", 2), ("place-order", 1), ("place-order", 2))


@dataclass
class Told:
    """What callers know: ``acknowledged`` maps request_id to saga_id; ``wrong`` is what must not have been answered."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    orders: dict[str, PlaceOrderRequest] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    answers: int = 0
    doubts: int = 0


class Load:
    """Callers of a world. ``run`` keeps several busy until ``stop``."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told = Told()
        self.paused = asyncio.Event()
        self.busy = 0
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._callers: list[asyncio.Task[None]] = []
        self._count = 0
        # Its own: what callers draw, in whatever order they run, must not change what faults draw from the seed.
        self._draw = random.Random(world.seed)

    async def open(self) -> None:
        """Fills the warehouse."""
        skus = [*SKUS, *(f"ONE-{number:03}" for number in range(200))]
        address = self.world.participants["inventory"].address
        async with grpc.aio.insecure_channel(address) as channel:
            lines = [StockLine(sku=sku, quantity=10_000) for sku in skus]
            for start in range(0, len(lines), 50):
                receipt = ReceiveStockRequest(
                    receipt_id=f"DN-{start}", warehouse_id="BER-1", lines=lines[start : start + 50]
                )
                await InventoryServiceStub(channel).ReceiveStock(receipt, timeout=30)

    async def close(self) -> None:
        """Ends the callers."""
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        for channel in self._channels.values():
            await channel.close()

    def order(self, fault: str = "", *, sku: str = "", customer: str = "") -> PlaceOrderRequest:
        """The next order; ``sku`` marks its reservation, so that a proxy knows it on the wire."""
        self._count += 1
        number = self._count
        order = PlaceOrderRequest(
            request_id=f"ORD-{number:06}",
            order_id=f"ORD-{number:06}",
            customer_id=customer or f"CUS-{number}",
            warehouse_id="BER-1",
            lines=[OrderLine(sku=sku or SKUS[number % len(SKUS)], quantity=1 + number % 3)],
            total=Money(currency_code="EUR", amount_minor=1000 + number),
            payment_method="pm_card_chargeDeclined" if fault == "declined" else "pm_card_visa",
            ship_to=Address(
                recipient="A. Customer",
                address_lines=["Lindenallee 1"],
                locality="Berlin",
                postal_code="nowhere" if fault == "undeliverable" else "10115",
                region_code="DE",
            ),
        )
        self.told.orders[order.order_id] = order
        return order

    def channel(self, address: str) -> grpc.aio.Channel:
        """One for each address."""
        if address not in self._channels:
            options = (("grpc.max_reconnect_backoff_ms", 500), ("grpc.initial_reconnect_backoff_ms", 100))
            self._channels[address] = grpc.aio.insecure_channel(address, options=options)
        return self._channels[address]

    def sagas_at(self, node: Actor) -> "SagaServiceAsyncStub":
        """The generic door."""
        return SagaServiceStub(self.channel(node.address))

    async def start(
        self,
        node: Actor,
        order: PlaceOrderRequest,
        definition: tuple[str, int] = ("brisk-order", 1),
        timeout_s: float = CALL_S,
    ) -> str:
        """One try. Raises ``AioRpcError``; notes what is acknowledged, and a second saga under one request_id."""
        name, version = definition
        request = StartSagaRequest(
            request_id=order.request_id, definition=name, version=version, input=order.SerializeToString()
        )
        answer = await self.sagas_at(node).StartSaga(request, timeout=timeout_s)
        saga_id = answer.saga.saga_id
        self.told.answers += 1
        before = self.told.acknowledged.setdefault(order.request_id, saga_id)
        if before != saga_id:
            self.told.wrong.append(f"I7: request {order.request_id} was answered with sagas {before} and {saga_id}")
        return saga_id

    async def place_at(self, node: Actor, definition: tuple[str, int], timeout_s: float) -> str:
        """Repeats a start on one node until it is acknowledged: the one before may have cut it off a moment ago.

        Raises ``AioRpcError`` for what repeating does not mend, and ``TimeoutError``.
        """
        order = self.order()
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await self.start(node, order, definition, timeout_s)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                self.told.doubts += 1
                await asyncio.sleep(0.1)

    async def place(self, order: PlaceOrderRequest, definition: tuple[str, int] = ("brisk-order", 1)) -> str:
        """Repeats a start, on any node, until it is acknowledged."""
        while True:
            nodes = self.world.live
            if nodes:
                with suppress(grpc.aio.AioRpcError):
                    return await self.start(self._draw.choice(nodes[-3:]), order, definition)
                self.told.doubts += 1
            await asyncio.sleep(self._draw.uniform(0.05, 0.4))

    async def place_all(
        self, orders: Iterable[PlaceOrderRequest], definition: tuple[str, int] = ("brisk-order", 1), at_once: int = 32
    ) -> list[str]:
        """Places many."""
        room = asyncio.Semaphore(at_once)

        async def one(order: PlaceOrderRequest) -> str:
            async with room:
                return await self.place(order, definition)

        return list(await asyncio.gather(*map(one, orders)))

    async def cancel(self, saga_id: str, timeout_s: float = 20.0) -> None:
        """Asks for it until it is granted or refused."""
        ends = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < ends:
            request = CancelSagaRequest(saga_id=saga_id, request_id=f"cancel-{saga_id}")
            try:
                await self.sagas_at(self._draw.choice(self.world.live)).CancelSaga(request, timeout=CALL_S)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() not in IN_DOUBT:
                    return
            except IndexError:
                pass
            await asyncio.sleep(0.2)

    def run(self, callers: int, pause_s: float) -> None:
        """Starts callers: each places an order, now and then cancels one or repeats a start, and rests."""
        self._callers += [asyncio.create_task(self._call(pause_s)) for _ in range(callers)]

    async def _call(self, pause_s: float) -> None:
        while True:
            if self.paused.is_set():
                await asyncio.sleep(0.1)
                continue
            self.busy += 1
            try:
                await self._order_something()
            finally:
                self.busy -= 1
            await asyncio.sleep(self._draw.uniform(0, 2 * pause_s))

    async def _order_something(self) -> None:
        order = self.order(FAULTS[self._count % len(FAULTS)])
        definition = DEFINITIONS[self._count % len(DEFINITIONS)]
        saga_id = await self.place(order, definition)
        if self._count % 11 == 0:
            await self.place(order, definition)
        if self._count % 7 == 0:
            await self.cancel(saga_id)
