"""What the tests of whole processes share: a shop on a real stack, its ledger of orders, and hands on its processes."""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1.event_pb2 import EVENT_TYPE_SAGA_CLAIMED, SagaEvent
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATING, SAGA_STATE_PENDING, SAGA_STATE_RUNNING, Saga, SagaState
from saga.v1.saga_service_pb2 import GetSagaRequest, ListSagaEventsRequest, ListSagasRequest
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.errors import DETAILS_KEY
from orchestrator.local.conservation import read_reports, sums
from orchestrator.local.customer import Outcome
from orchestrator.local.orders import Order
from orchestrator.local.processes import Child
from orchestrator.local.stack import Member, Stack
from tests.fixtures.postgres import connect
from tests.system.orders import FAULTS, RECEIPT, new_request, start_request

if TYPE_CHECKING:  # the stubs alone know these
    from orders.v1.orders_pb2_grpc import OrderServiceAsyncStub
    from saga.v1.saga_service_pb2_grpc import SagaServiceAsyncStub

CALL_TIMEOUT_S: Final = 15.0
POLL_S: Final = 0.1
STARTS_AT_ONCE: Final = 32
LIVE: Final = frozenset({SAGA_STATE_PENDING, SAGA_STATE_RUNNING, SAGA_STATE_COMPENSATING})


class Shop:
    """A stack with stock on its shelves, and a ledger of every order that was ever given to it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ledger: dict[str, Order] = {}
        """By ``request_id``."""
        self._channels: dict[str, grpc.aio.Channel] = {}

    # ---- its processes ----

    @property
    def live_nodes(self) -> list[Member]:
        """The nodes that run, oldest first."""
        return [node for node in self.stack.nodes if node.child.is_running()]

    async def two_nodes(self) -> tuple[Member, Member]:
        """Two nodes that serve; starts what is missing after a test that killed one.

        Each has run a saga: its connections stand, so that a call to a frozen participant hangs and is not refused.
        """
        while len(self.live_nodes) < 2:
            await self.stack.start_node(f"node-{len(self.stack.nodes) + 1}")
        first, second = self.live_nodes
        for node in (first, second):
            await self.until_ended(node, await self.start(node, self.new_orders(1, versions=(2,), faults=("",))), 20)
        return first, second

    async def start_node(self, name: str, environment: Mapping[str, str]) -> Member:
        """A node with settings of its own beside those of the stack. Raises ``ChildError``."""
        settings = self.stack.settings
        self.stack.settings = replace(settings, node_environment={**settings.node_environment, **environment})
        try:
            return await self.stack.start_node(name)
        finally:
            self.stack.settings = settings

    # ---- its customers ----

    async def open(self) -> None:
        """Stocks the warehouse."""
        inventory = InventoryServiceStub(self.channel(self.stack.participants["inventory"].address))
        await inventory.ReceiveStock(RECEIPT, timeout=CALL_TIMEOUT_S)

    async def close(self) -> None:
        """Closes the channels."""
        for channel in self._channels.values():
            await channel.close()

    def channel(self, address: str) -> grpc.aio.Channel:
        """One channel for each address."""
        if address not in self._channels:
            options = (("grpc.max_reconnect_backoff_ms", 500), ("grpc.initial_reconnect_backoff_ms", 100))
            self._channels[address] = grpc.aio.insecure_channel(address, options=options)
        return self._channels[address]

    def sagas_at(self, node: Member) -> "SagaServiceAsyncStub":
        """The generic door of a node."""
        return SagaServiceStub(self.channel(node.address))

    def orders_at(self, node: Member) -> "OrderServiceAsyncStub":
        """The typed front door of a node."""
        return OrderServiceStub(self.channel(node.address))

    def new_orders(
        self, count: int, *, versions: Sequence[int] = (1, 2), faults: Sequence[str] = FAULTS
    ) -> list[Order]:
        """So many new orders, entered into the ledger; versions and faults in turn."""
        orders: list[Order] = []
        for _ in range(count):
            number = len(self.ledger)
            order = Order(versions[number % len(versions)], new_request(number, faults[number % len(faults)]))
            self.ledger[order.request.request_id] = order
            orders.append(order)
        return orders

    async def start(self, node: Member, orders: Iterable[Order], definition: str = "place-order") -> list[str]:
        """Starts a saga for each order through the generic door; returns their ids once all are acknowledged."""
        room = asyncio.Semaphore(STARTS_AT_ONCE)

        async def start_one(order: Order) -> str:
            async with room:
                answer = await self.sagas_at(node).StartSaga(start_request(order, definition), timeout=CALL_TIMEOUT_S)
            return answer.saga.saga_id

        return list(await asyncio.gather(*map(start_one, orders)))

    # ---- its books ----

    async def saga(self, node: Member, saga_id: str) -> Saga:
        """One saga with its steps, as the node tells."""
        return (await self.sagas_at(node).GetSaga(GetSagaRequest(saga_id=saga_id), timeout=CALL_TIMEOUT_S)).saga

    async def sagas(self, node: Member, saga_ids: Collection[str] | None = None) -> list[Saga]:
        """All sagas in the store, or those of ``saga_ids``."""
        found: list[Saga] = []
        request = ListSagasRequest(page_size=1000)
        while True:
            page = await self.sagas_at(node).ListSagas(request, timeout=CALL_TIMEOUT_S)
            found.extend(page.sagas)
            request.page_token = page.next_page_token
            if not request.page_token:
                return found if saga_ids is None else [saga for saga in found if saga.saga_id in saga_ids]

    async def events(self, node: Member, saga_id: str) -> list[SagaEvent]:
        """A saga's journal."""
        request = ListSagaEventsRequest(saga_id=saga_id, page_size=1000)
        answer = await self.sagas_at(node).ListSagaEvents(request, timeout=CALL_TIMEOUT_S)
        assert not answer.next_page_token
        return list(answer.events)

    async def journals(self, node: Member, saga_ids: Iterable[str]) -> dict[str, list[SagaEvent]]:
        """The journals of several sagas."""
        room = asyncio.Semaphore(STARTS_AT_ONCE)

        async def read(saga_id: str) -> tuple[str, list[SagaEvent]]:
            async with room:
                return saga_id, await self.events(node, saga_id)

        return dict(await asyncio.gather(*map(read, saga_ids)))

    async def count(self, rows: str) -> int:
        """How many rows the store has: ``rows`` is a table, perhaps with joins and a condition."""
        connection = await connect(self.stack.databases["orchestrator"].owner_url)
        try:
            return int(await connection.fetchval(f"SELECT count(*) FROM {rows}"))
        finally:
            await connection.close()

    async def until_all(
        self, node: Member, saga_ids: Collection[str], condition: Callable[[Saga], bool], timeout_s: float, what: str
    ) -> list[Saga]:
        """Waits until the condition holds for each of the sagas. Raises ``AssertionError`` naming those for which it
        does not after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        wanted = set(saga_ids)
        while True:
            found = await self.sagas(node, wanted)
            others = [saga for saga in found if not condition(saga)]
            if not others and len(found) == len(wanted):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"after {timeout_s:g} s not {what}: {_told(others)}; {len(found)} of {len(wanted)}"
                )
            await asyncio.sleep(POLL_S)

    async def until_ended(self, node: Member, saga_ids: Collection[str], timeout_s: float) -> Counter[int]:
        """Waits until each saga has ended or is stuck; returns how many stand where."""
        found = await self.until_all(node, saga_ids, lambda saga: saga.state not in LIVE, timeout_s, "ended")
        return Counter(saga.state for saga in found)

    async def check_sums(self, node: Member) -> None:
        """Holds what the participants count against the ends of all sagas in the store (I1, I2). None may be live."""
        sagas = await self.sagas(node)
        assert not [saga for saga in sagas if saga.state in LIVE]
        ends = [
            Outcome(self.ledger[saga.request_id], saga.state, saga.saga_id, saga.failed_step, saga.failure.reason, 0, 0)
            for saga in sagas
        ]
        where = {name: member.address for name, member in self.stack.participants.items()}
        checked = sums(ends, [RECEIPT], await read_reports(where))
        assert not [each for each in checked if not each.holds]


@contextmanager
def frozen(child: Child) -> Iterator[Callable[[], None]]:
    """Stops a process (SIGSTOP) for as long as the block lasts, or until what it yields is called."""

    def thaw() -> None:
        if child.is_running():
            os.kill(child.pid, signal.SIGCONT)

    os.kill(child.pid, signal.SIGSTOP)
    try:
        yield thaw
    finally:
        thaw()


def log_lines(child: Child) -> list[dict[str, Any]]:
    """What a process has logged."""
    return [json.loads(line) for line in child.log.read_text().splitlines() if line.startswith("{")]


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
    """Waits for a condition that no event announces. Raises ``AssertionError``."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, f"after {timeout_s:g} s not {what}"
        await asyncio.sleep(POLL_S)


def error_info(error: grpc.aio.AioRpcError) -> ErrorInfo:
    """The one ``ErrorInfo`` of an answer. Raises ``AssertionError`` if it has none or several."""
    trailers = dict(error.trailing_metadata() or ())
    assert DETAILS_KEY in trailers, f"no details: {error.code().name} {error.details()}"
    details = Status.FromString(bytes(trailers[DETAILS_KEY])).details
    found = [detail for detail in details if detail.Is(ErrorInfo.DESCRIPTOR)]
    assert len(found) == 1
    info = ErrorInfo()
    found[0].Unpack(info)
    return info


def check_fencing(journal: Sequence[SagaEvent]) -> None:
    """I5, I6: seqs without gaps, epochs never fall and rise with claims alone."""
    assert [event.seq for event in journal] == list(range(1, len(journal) + 1))
    for before, after in pairwise(journal):
        assert after.epoch == before.epoch + (after.type == EVENT_TYPE_SAGA_CLAIMED), (before, after)


def claims(journal: Sequence[SagaEvent]) -> list[SagaEvent]:
    """The claims of a journal."""
    return [event for event in journal if event.type == EVENT_TYPE_SAGA_CLAIMED]


def report(what: str, measured: float, unit: str = "s") -> None:
    """Prints what a promise bounds; ``pytest -rP`` or ``-s`` shows it."""
    sys.stdout.write(f"{what}: {round(measured, 2):g} {unit}\n")


def _told(sagas: Sequence[Saga]) -> str:
    return ", ".join(
        f"{saga.saga_id} {SagaState.Name(saga.state)} seq {saga.last_seq} {saga.blocked_reason}" for saga in sagas[:5]
    )
