"""Whoever asks for health is asked nothing: so it may keep nobody from an answer, nor a server from its end."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from contracts import health
from tests.integration.engine.harness import until
from tests.integration.rpc.fakes import serving
from tests.security.limits import raw

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
WAIT_S = 10.0
EVERYTHING = health_pb2.HealthCheckRequest()


@contextmanager
def unread(port: int, path: str, number: int) -> Iterator[socket.socket]:
    """Calls whose caller takes no byte of any answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(raw.opening() + b"".join(raw.call(each, path, b"") for each in range(number)))
        yield connection


async def test_who_does_not_read_keeps_neither_others_from_being_told_nor_the_server_from_stopping() -> None:
    async with serving() as served:
        server = served.server
        with unread(served.port, WATCH, 3):
            await until(lambda: server.health.watchers == 3)
            told = HealthStub(served.channel).Watch(EVERYTHING, timeout=WAIT_S)
            assert (await told.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            async with asyncio.timeout(WAIT_S):
                await server.set_serving(True)
                assert (await told.read()).status == health_pb2.HealthCheckResponse.SERVING
            told.cancel()
            async with asyncio.timeout(WAIT_S):
                await server.stop(0.1)


@pytest.mark.parametrize("path", [CHECK, WATCH])
async def test_answers_that_nobody_reads_are_dropped(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "UNREAD_S", 0.2)
    async with serving(slow_reader_s=0.1) as served:
        with unread(served.port, path, 20) as connection:
            await until(lambda: served.server.health.watchers + served.server.health.checks == 20)
            await until(lambda: served.server.health.watchers + served.server.health.checks == 0)
            connection.sendall(raw.call(20, path, b""))  # the connection itself is as good as before
            await until(lambda: served.server.health.watchers + served.server.health.checks == 1)


async def test_a_caller_that_goes_away_without_reading_is_no_defect_to_be_logged() -> None:
    with structlog.testing.capture_logs() as logged:
        async with serving() as served:
            with unread(served.port, WATCH, 20):
                await until(lambda: served.server.health.watchers == 20)
            await until(lambda: served.server.health.watchers == 0)
    assert logged == []


async def test_watchers_and_checks_are_bounded_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MAX_UNDER_WAY", 2)
    async with serving() as served:
        stub = HealthStub(served.channel)
        watches = [stub.Watch(EVERYTHING, timeout=WAIT_S) for _ in range(2)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Watch(EVERYTHING, timeout=WAIT_S).read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await stub.Check(EVERYTHING, timeout=WAIT_S)
        watches[0].cancel()
        await until(lambda: served.server.health.watchers == 1)
        await stub.Watch(EVERYTHING, timeout=WAIT_S).read()


async def test_no_name_is_kept_that_no_service_has() -> None:
    """A name may have as many bytes as a message."""
    async with serving() as served:
        stub, long = HealthStub(served.channel), health_pb2.HealthCheckRequest(service="x" * 10_000)
        for call in (stub.Check(long, timeout=WAIT_S), stub.Watch(long, timeout=WAIT_S).read()):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        unknown = health_pb2.HealthCheckRequest(service="no.such.Service")
        answer = await stub.Watch(unknown, timeout=WAIT_S).read()
        assert answer.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(unknown, timeout=WAIT_S)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
