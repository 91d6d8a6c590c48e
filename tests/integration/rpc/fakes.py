"""An engine and a store that a test scripts, behind the server that is under test."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

import grpc
import pytest
from commerce.v1.address_pb2 import Address
from commerce.v1.money_pb2 import Money
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from orders.v1.orders_pb2 import OrderLine, PlaceOrderRequest
from saga.v1 import event_pb2

from contracts.errors import DETAILS_KEY, error_info
from orchestrator.core.events import Failure
from orchestrator.core.state import SagaState, SagaStatus, StepState
from orchestrator.definitions.model import Definition
from orchestrator.definitions.registry import Registry, load_sagas
from orchestrator.definitions.shipped import SAGAS
from orchestrator.engine.api import SagaView, Standing
from orchestrator.engine.ports import Started
from orchestrator.engine.stored import RowState, SagaFilter, StoredEntry, StoredSaga, Visibility
from orchestrator.engine.tracing import TraceContext
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings

SAGA_ID = UUID("01900000-0000-7000-8000-000000000001")
OTHER_ID = UUID("01900000-0000-7000-8000-00000000ffff")
REGISTRY = load_sagas(SAGAS)
MAX_BYTES = 20_000

AnswerT = TypeVar("AnswerT")


def an_order(request_id: str = "r-1", **fields: Any) -> PlaceOrderRequest:
    order = PlaceOrderRequest(
        request_id=request_id,
        order_id="o-1",
        customer_id="c-1",
        warehouse_id="w-1",
        lines=[OrderLine(sku="SKU-1", quantity=2)],
        total=Money(currency_code="EUR", amount_minor=1999),
        payment_method="pm_card",
        ship_to=Address(recipient="A. Buyer", address_lines=["Street 1"], locality="Town", region_code="DE"),
    )
    order.MergeFrom(PlaceOrderRequest(**fields))
    return order


def a_saga(status: SagaStatus = SagaStatus.RUNNING, saga_id: UUID = SAGA_ID, **fields: Any) -> StoredSaga:
    definition = REGISTRY.find("place-order", 1)
    assert definition is not None
    row = RowState(status, deadline_us=1_700_000_600_000_000)
    saga = StoredSaga(
        saga_id=saga_id,
        definition=definition.name,
        version=definition.version,
        digest=definition.digest,
        caller="local",
        request_id="r-1",
        request_hash=b"",
        concurrency_key="o-1",
        input=b"",
        owner=OTHER_ID,
        epoch=(1 << 32) + 1,
        last_seq=3,
        row=row,
        wake_at_us=None,
        created_us=1_700_000_000_000_001,
        updated_us=1_700_000_001_000_000,
        ended_us=None,
    )
    return replace(saga, **fields)


def an_entry(seq: int, kind: int = event_pb2.EVENT_TYPE_STEP_SUCCEEDED, size: int = 0) -> StoredEntry:
    attributes = event_pb2.StepSucceeded(step="reserve", attempt=1, response=b"x" * size).SerializeToString()
    if kind == event_pb2.EVENT_TYPE_SAGA_COMPLETED:
        attributes = b""
    return StoredEntry(seq, kind, attributes, 1_700_000_000_000_000 + seq, 7)


@dataclass
class StartCall:
    """What the engine was told to start."""

    definition: Definition
    saga_input: Message
    caller: str
    request_id: str
    tenant: str


class FakeEngine:
    """A ``SagaEngine``; attributes are its answers, an exception among them is raised."""

    def __init__(self) -> None:
        self.started: Started | Exception = Started(SAGA_ID)
        self.standing: Standing | Exception | None = Standing(SAGA_ID, SagaStatus.RUNNING)
        self.saga: StoredSaga | Exception | None = a_saga()
        self.cancelled: Failure | Exception | None = None
        self.starts: list[StartCall] = []
        self.waits: list[float] = []
        self.cancels: list[tuple[str, str]] = []
        self.growth: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.follow_ended = asyncio.Event()
        self.waiting = asyncio.Event()
        self.hang = False
        self.wait_ended = asyncio.Event()
        self.turned_away: float | None = None
        self.delays: list[Callable[[], float]] = []
        self.known: set[tuple[str, str]] = set()

    def turn_away(self, caller: str) -> float | None:
        return self.turned_away

    def watch_delay(self, delay_s: Callable[[], float]) -> None:
        self.delays.append(delay_s)

    def knows(self, caller: str, request_id: str) -> bool:
        return (caller, request_id) in self.known

    async def start(
        self,
        definition: Definition,
        saga_input: Message,
        *,
        caller: str,
        tenant: str = "",
        request_id: str,
        trace: TraceContext | None = None,
    ) -> Started:
        self.starts.append(StartCall(definition, saga_input, caller, request_id, tenant))
        return _answer(self.started)

    async def wait(self, saga_id: UUID, timeout_s: float) -> Standing | None:
        self.waits.append(timeout_s)
        if self.hang:
            self.waiting.set()
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.Event().wait()
            except TimeoutError:
                pass
            finally:
                self.wait_ended.set()
        return _answer(self.standing)

    async def follow(self, saga_id: UUID, after_seq: int) -> AsyncGenerator[int, None]:
        try:
            while (grown := await self.growth.get()) is not None:
                yield _answer(grown)
        finally:
            self.follow_ended.set()

    async def view(self, saga_id: UUID) -> SagaView | None:
        stored: StoredSaga | None = _answer(self.saga)
        if stored is None:
            return None
        definition = REGISTRY.find_digest(stored.digest)
        state = None
        if definition is not None:
            steps = tuple(StepState() for _ in definition.steps)
            state = SagaState(str(saga_id), stored.row.status, steps)
        return SagaView(stored, definition, state, b"result" if stored.row.status is SagaStatus.COMPLETED else b"")

    async def cancel(self, saga_id: UUID, *, caller: str, request_id: str, timeout_s: float) -> Failure | None:
        self.cancels.append((caller, request_id))
        return _answer(self.cancelled)

    async def decided(self, saga_id: UUID, number: int, timeout_s: float) -> Failure | None:
        return _answer(self.cancelled)


class FakeQueries:
    """A ``QueryStore`` over lists."""

    def __init__(self) -> None:
        self.sagas: list[StoredSaga] = []
        self.entries: list[StoredEntry] = []
        self.failure: Exception | None = None
        self.filters: list[SagaFilter] = []

    async def load(self, saga_ids: Sequence[UUID]) -> Sequence[StoredSaga]:
        raise AssertionError("the services read single sagas through the engine")

    async def list_sagas(self, where: SagaFilter, *, limit: int, before: UUID | None) -> Sequence[StoredSaga]:
        self.filters.append(where)
        if self.failure is not None:
            raise self.failure
        newest_first = sorted(self.sagas, key=lambda saga: saga.saga_id, reverse=True)
        return [saga for saga in newest_first if before is None or saga.saga_id < before][:limit]

    async def visible(self, saga_ids: Sequence[UUID], visibility: Visibility) -> frozenset[UUID]:
        return frozenset(saga_ids)

    async def list_entries(self, saga_id: UUID, *, after_seq: int, limit: int) -> Sequence[StoredEntry]:
        if self.failure is not None:
            raise self.failure
        return [entry for entry in self.entries if entry.seq > after_seq][:limit]


@dataclass
class Served:
    """A running server, its fakes, and a channel to it."""

    server: RpcServer
    engine: FakeEngine
    queries: FakeQueries
    channel: grpc.aio.Channel
    port: int


@asynccontextmanager
async def serving(registry: Registry = REGISTRY, **settings: Any) -> AsyncIterator[Served]:
    """Serves on a free loopback port until the block ends."""
    given = {"listen_address": "127.0.0.1:0", "max_message_bytes": MAX_BYTES, "shutdown_grace_s": 0.0, **settings}
    engine, queries = FakeEngine(), FakeQueries()
    server = RpcServer(RpcSettings(**given), engine, queries, registry)
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(server, engine, queries, channel, port)
    assert await server.stop()


async def failing(call: Any) -> tuple[grpc.StatusCode, ErrorInfo, str]:
    """Awaits a call that must fail: its code, its one ``ErrorInfo`` and its message."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    trailers: tuple[tuple[str, Any], ...] = tuple(error.trailing_metadata() or ())
    details = [Status.FromString(value) for key, value in trailers if key == DETAILS_KEY]
    assert len(details) == 1
    assert [detail.Is(ErrorInfo.DESCRIPTOR) for detail in details[0].details].count(True) == 1
    info = error_info(trailers)
    assert info is not None
    assert info.domain == "saga.v1"
    assert error.details() == details[0].message != ""
    return error.code(), info, details[0].message


def _answer(answer: AnswerT | Exception) -> AnswerT:
    if isinstance(answer, Exception):
        raise answer
    return answer
