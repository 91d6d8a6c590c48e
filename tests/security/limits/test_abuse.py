"""Abuse of every kind, over the wire: a clean status, bounded memory, and others are served meanwhile.

The node's server runs in a process of its own; memory is what the system says of that process (RSS). Figures are
printed (``pytest -s``), and stand in ``docs/limits.md``.
"""

import asyncio
import os
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import psutil
import pytest
from google.protobuf import struct_pb2
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.errors import error_info
from orchestrator.rpc.limits.callers import MAX_KNOWN, CallerPolicy, Callers, Place
from tests.integration.rpc.fakes import SAGA_ID, an_order
from tests.security.limits import raw
from tests.security.limits.served import CALLER_KEY, SLOW_READER_S

MIB: Final = 1 << 20
WAIT_S: Final = 30.0
SERVED_S: Final = 5.0
"""How long a call of somebody else may take meanwhile, on a machine that does other things as well."""
GET: Final = "/saga.v1.SagaService/GetSaga"
START: Final = "/saga.v1.SagaService/StartSaga"
PLACE: Final = "/orders.v1.OrderService/PlaceOrder"
Code = grpc.StatusCode


@dataclass
class Victim:
    """The served process."""

    port: int
    process: psutil.Process
    channels: list[grpc.aio.Channel] = field(default_factory=list)
    silent: socket.socket = field(init=False)
    """A connection that never says anything."""
    since_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.silent = self.connect()

    def connect(self) -> socket.socket:
        """A connection that does not speak HTTP/2."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)

    def rss(self) -> float:
        """MiB."""
        return float(self.process.memory_info().rss) / MIB

    def channel(self, more: Iterable[tuple[str, int]] = ()) -> grpc.aio.Channel:
        """A connection of its own."""
        options = [*more, ("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        options += [("grpc.max_metadata_size", MIB), ("grpc.absolute_max_metadata_size", MIB)]
        made = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options)
        self.channels.append(made)
        return made

    @asynccontextmanager
    async def abused(self, what: str, most_mib: float) -> AsyncIterator[None]:
        """Others are served while the block runs, and the process is never larger by more than ``most_mib``."""
        latencies: list[float] = []
        sizes = [self.rss()]
        first = asyncio.Event()
        bystander = asyncio.create_task(self._call_until_cancelled(latencies, sizes, first))
        async with asyncio.timeout(WAIT_S):
            await first.wait()
        sizes[:] = [self.rss()]
        began_s = time.monotonic()
        try:
            yield
        finally:
            lasted_s = time.monotonic() - began_s
            bystander.cancel()
            ended = (await asyncio.gather(bystander, return_exceptions=True))[0]
        grown = max(*sizes, self.rss()) - sizes[0]
        latencies.sort()
        p99_ms = latencies[len(latencies) * 99 // 100] * 1000 if latencies else float("nan")
        sys.stdout.write(f"{what}: {lasted_s:.1f} s, at most {grown:.0f} MiB more, others' p99 {p99_ms:.0f} ms\n")
        assert isinstance(ended, asyncio.CancelledError), "a call of somebody else failed meanwhile"
        assert latencies
        assert grown < most_mib

    async def _call_until_cancelled(self, latencies: list[float], sizes: list[float], first: asyncio.Event) -> None:
        sagas = SagaServiceStub(self.channel())
        while True:
            began_s = time.monotonic()
            await sagas.GetSaga(a_get(), timeout=SERVED_S, metadata=((CALLER_KEY, "bystander"),))
            latencies.append(time.monotonic() - began_s)
            first.set()
            sizes.append(self.rss())
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
async def victim() -> AsyncIterator[Victim]:
    """Warmed up: what a process needs once is no growth."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.security.limits.served"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ".:generated"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WAIT_S):
            port = int(await process.stdout.readline())
        served = Victim(port, psutil.Process(process.pid))
        await flood(served, 500, lambda _: (GET, a_get().SerializeToString(), ()))
        yield served
        served.silent.close()
        for channel in served.channels:
            await channel.close()
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(WAIT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def a_get() -> pb.GetSagaRequest:
    return pb.GetSagaRequest(saga_id=str(SAGA_ID))


Made = tuple[str, bytes, tuple[tuple[str, str], ...]]


async def flood(victim: Victim, calls: int, make: Callable[[int], Made], *, at_once: int = 32) -> Counter[str]:
    """How the calls ended: code and reason."""
    channel = victim.channel()
    ends: Counter[str] = Counter()
    numbers = iter(range(calls))

    async def caller() -> None:
        for number in numbers:
            path, request, metadata = make(number)
            method: Any = channel.unary_unary(path)
            ends[await ended(method(request, timeout=WAIT_S, metadata=metadata))] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(caller())
    await channel.close()
    return ends


async def ended(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return told(error)
    return "OK"


def told(error: grpc.aio.AioRpcError) -> str:
    info = error_info(tuple(error.trailing_metadata() or ()))
    return f"{error.code().name} {info.reason if info else '-'}"


async def test_oversize(victim: Victim) -> None:
    body = b"\x0a" + b"\x80\x80\x40" + bytes(MIB)
    async with victim.abused("2,000 requests of a MiB and a little", 250):
        ends = await flood(victim, 2000, lambda _: (PLACE, body, ()), at_once=16)
    assert ends == {"RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE": 2000}


async def test_far_oversize(victim: Victim) -> None:
    body = bytes(5 * MIB)
    async with victim.abused("50 requests of 5 MiB", 100):
        ends = await flood(victim, 50, lambda _: (PLACE, body, ()), at_once=8)
    assert ends == {"RESOURCE_EXHAUSTED -": 50}, "the transport's own status"


async def test_deeply_nested(victim: Victim) -> None:
    def groups(levels: int) -> bytes:  # field 1000 as a group within a group, unknown to every message
        return b"\xc3\x3e" * levels + b"\xc4\x3e" * levels

    value = struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    for _ in range(49):
        value = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[value]))
    structs = value.SerializeToString()
    inputs = [groups(200_000), b"\x0a" + b"\xff" * 100, structs]
    requests = [groups(250_000)] + [
        pb.StartSagaRequest(request_id="r", definition="place-order", version=1, input=each).SerializeToString()
        for each in inputs
    ]
    async with victim.abused("2,000 deeply nested requests", 250):
        ends = await flood(victim, 2000, lambda number: (START, requests[number % 4], ()), at_once=16)
    assert ends == {"INVALID_ARGUMENT INVALID_REQUEST": 2000}


async def test_half_a_million_messages_in_one_request(victim: Victim) -> None:
    crowded = an_order().SerializeToString() + b"\x32\x00" * (MIB // 2 - 200)  # lines without content
    async with victim.abused("100 requests of half a million messages", 200):
        ends = await flood(victim, 100, lambda _: (PLACE, crowded, ()), at_once=8)
    assert ends == {"INVALID_ARGUMENT INVALID_REQUEST": 100}


async def test_garbage(victim: Victim) -> None:
    drawn = random.Random(7)
    methods = [PLACE, START, GET, "/saga.v1.SagaService/ListSagas", "/saga.v1.SagaService/CancelSaga"]
    async with victim.abused("2,000 requests of garbage", 60):
        ends = await flood(
            victim, 2000, lambda _: (drawn.choice(methods), drawn.randbytes(drawn.randrange(10_000)), ())
        )
    assert ends.pop("OK", 0) < 20, "an empty ListSagas is none"
    assert set(ends) == {"INVALID_ARGUMENT INVALID_REQUEST"}


async def test_huge_metadata(victim: Victim) -> None:
    sizes = [30_000, 100_000, 500_000]
    async with victim.abused("300 calls with up to 500 KB of metadata", 60):
        ends = await flood(
            victim, 300, lambda number: (GET, a_get().SerializeToString(), (("x", "y" * sizes[number % 3]),))
        )
    assert ends == {"RESOURCE_EXHAUSTED -": 300}, "the transport's own status"


async def test_watchers_that_never_read(victim: Victim) -> None:
    """Each of 500 streams has 20 MB to tell. None is read until the server has cut it off."""
    small = [("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0)]  # or this process would hold it all
    channels = [victim.channel(small) for _ in range(10)]
    async with victim.abused("500 watchers that never read", 100):
        began = [begun(channels[number % 10]) for number in range(500)]
        streams = await asyncio.gather(*began)
        await asyncio.sleep(SLOW_READER_S * 1.5)  # the abuse itself: there is nothing to wait for but its end
        assert [await drained(stream) for stream in streams[::100]] == ["RESOURCE_EXHAUSTED SLOW_READER"] * 5
    for stream in streams:
        stream.cancel()


async def begun(channel: grpc.aio.Channel) -> Any:
    sagas: Any = SagaServiceStub(channel)
    stream = sagas.WatchSaga(pb.WatchSagaRequest(saga_id=str(SAGA_ID)), metadata=((CALLER_KEY, "sleeper"),))
    assert await stream.read() is not grpc.aio.EOF
    return stream


async def drained(stream: Any) -> str:
    """How the stream ended."""
    try:
        async with asyncio.timeout(WAIT_S):
            while await stream.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return told(error)
    return "OK"


async def test_answers_that_nobody_reads(victim: Victim) -> None:
    """400 answers of a MiB for a client whose window is shut: as many as one caller may leave unread, and no more."""
    asked = pb.ListSagaEventsRequest(saga_id=str(SAGA_ID), page_size=100).SerializeToString()
    path = "/saga.v1.SagaService/ListSagaEvents"

    def ask() -> Counter[int]:
        with victim.connect() as connection:
            connection.sendall(raw.opening())
            for number in range(400):
                connection.sendall(raw.call(number, path, asked, test_caller="miser"))
            return Counter(
                flags & raw.END_STREAM for kind, flags, _ in raw.frames(connection, 2.0) if kind == raw.HEADERS
            )

    async with victim.abused("400 answers of a MiB that nobody reads", 250):
        ends = await asyncio.to_thread(ask)
    held, refused = ends[0], ends[raw.END_STREAM]
    sys.stdout.write(f"{held} answers were held, {refused} calls refused\n")
    assert held + refused == 400
    assert held <= CallerPolicy().max_unread_bytes / (0.9 * MIB) + 2


async def test_callers_and_request_ids_without_end(victim: Victim) -> None:
    order = an_order()

    def make(number: int) -> Made:
        order.request_id = f"request-{number}"
        return PLACE, order.SerializeToString(), ((CALLER_KEY, f"caller-{number}"),)

    async with victim.abused("3,000 callers and as many request ids", 60):
        assert await flood(victim, 3_000, make) == {"OK": 3_000}


def test_a_million_callers_are_not_remembered() -> None:
    callers = Callers(CallerPolicy(max_calls_per_s=5.0), 10_000, time.monotonic)
    process = psutil.Process()
    visit(callers, range(MAX_KNOWN))
    before = process.memory_info().rss
    visit(callers, range(MAX_KNOWN, 1_000_000))
    grown = (process.memory_info().rss - before) / MIB
    sys.stdout.write(f"a million callers: RSS {grown:+.1f} MiB\n")
    assert callers.known == MAX_KNOWN
    assert grown < 16


def visit(callers: Callers, numbers: Iterable[int]) -> None:
    for number in numbers:
        place = callers.enter(f"caller-{number}", is_watcher=False)
        assert isinstance(place, Place)
        place.leave()


async def test_idle_connections(victim: Victim) -> None:
    """They say nothing; with those of the callers they are more than the server takes."""
    sockets: list[socket.socket] = []
    async with victim.abused("2,200 connections that say nothing", 100):
        try:
            sockets += [victim.connect() for _ in range(2200)]
            assert await closed(sockets[-1]) < 5, "one more than it takes"
        finally:
            for each in sockets:
                each.close()


async def test_a_silent_connection_is_closed(victim: Victim) -> None:
    await closed(victim.silent)
    lasted_s = time.monotonic() - victim.since_s
    sys.stdout.write(f"a connection that had said nothing was found closed after {lasted_s:.1f} s\n")


async def closed(connection: socket.socket) -> float:
    """After how many seconds the other end closed it."""
    connection.settimeout(0)
    loop, began_s = asyncio.get_running_loop(), time.monotonic()
    async with asyncio.timeout(WAIT_S):
        try:
            while await loop.sock_recv(connection, 4096):
                pass
        except ConnectionError:
            pass
    return time.monotonic() - began_s
