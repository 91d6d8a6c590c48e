"""The interceptor against a real server: every end of a handler is one clean status."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from saga.v1 import saga_service_pb2 as pb
from saga.v1 import saga_service_pb2_grpc as pb_grpc
from structlog.testing import capture_logs

from contracts.errors import DETAILS_KEY, RpcError, error_info, retry_delay_s
from contracts.serving import SERVER_OPTIONS, ServingInterceptor, is_loopback

SAGA_ID = "01900000-0000-7000-8000-000000000000"
MAX_BYTES = 10_000


class Sagas(pb_grpc.SagaServiceServicer):
    """Handlers that end as the test asks by the definition's name."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def StartSaga(self, request: pb.StartSagaRequest, context: Any) -> pb.StartSagaResponse:  # noqa: N802  (the contract's name)
        if request.definition == "rpc-error":
            raise RpcError(
                grpc.StatusCode.ABORTED, "BUSY", "later", domain="test.v1", retry_delay_s=1.5, trailers=(("k", "v"),)
            )
        if request.definition == "defect":
            raise KeyError("secret")
        if request.definition == "cancelled":
            raise asyncio.CancelledError("secret")
        if request.definition == "abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "own abort")
        if request.definition == "hang":
            self.entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return pb.StartSagaResponse(already_started=True)

    async def WatchSaga(self, request: pb.WatchSagaRequest, context: Any) -> AsyncIterator[pb.WatchSagaResponse]:  # noqa: N802  (the contract's name)
        yield pb.WatchSagaResponse()
        if request.after_seq == 1:
            raise RpcError(grpc.StatusCode.NOT_FOUND, "SAGA_NOT_FOUND", "gone")
        if request.after_seq == 2:
            raise ValueError("secret")


Served = tuple[Sagas, grpc.aio.Channel]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    servicer = Sagas()  # type: ignore[abstract]  # the others stay the generated placeholders
    server = grpc.aio.server(interceptors=[ServingInterceptor(MAX_BYTES)], options=SERVER_OPTIONS(MAX_BYTES))
    pb_grpc.add_SagaServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield servicer, channel
    await server.stop(0)


def start(definition: str, **fields: Any) -> pb.StartSagaRequest:
    return pb.StartSagaRequest(request_id="r", definition=definition, **fields)


def trailers(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    return dict(error.trailing_metadata() or ())


def info(error: grpc.aio.AioRpcError) -> Any:
    found = error_info(error.trailing_metadata())
    assert found is not None
    return found


async def refused(channel: grpc.aio.Channel, request: pb.StartSagaRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pb_grpc.SagaServiceStub(channel).StartSaga(request, timeout=5)
    return caught.value


async def test_valid_request_passes(served: Served) -> None:
    response = await pb_grpc.SagaServiceStub(served[1]).StartSaga(start("ok"), timeout=5)
    assert response.already_started


async def test_broken_rule_is_named(served: Served) -> None:
    error = await refused(served[1], pb.StartSagaRequest(version=-1))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = Status.FromString(trailers(error)[DETAILS_KEY])
    bad_request = BadRequest()
    assert status.details[1].Unpack(bad_request)
    assert [each.field for each in bad_request.field_violations] == ["request_id", "definition", "version"]
    assert info(error).reason == "INVALID_REQUEST"


async def test_malformed_request(served: Served) -> None:
    call: Any = served[1].unary_unary("/saga.v1.SagaService/StartSaga")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff\xff\xff", timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info(caught.value).reason == "INVALID_REQUEST"


async def test_oversize_is_named(served: Served) -> None:
    error = await refused(served[1], start("ok", input=bytes(MAX_BYTES)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert info(error).reason == "MESSAGE_TOO_LARGE"


async def test_far_oversize_is_refused_by_the_transport(served: Served) -> None:
    error = await refused(served[1], start("ok", input=bytes(10 * MAX_BYTES)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await pb_grpc.SagaServiceStub(served[1]).StartSaga(start("ok"), timeout=5)).already_started


async def test_rpc_error_keeps_everything(served: Served) -> None:
    error = await refused(served[1], start("rpc-error"))
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "later")
    assert trailers(error)["k"] == "v"
    found = info(error)
    assert (found.domain, found.reason) == ("test.v1", "BUSY")
    assert retry_delay_s(error.trailing_metadata()) == 1.5


@pytest.mark.parametrize("definition", ["defect", "cancelled"])
async def test_defect_is_internal_and_silent(served: Served, definition: str) -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        error = await refused(served[1], start(definition))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (error.details() or "")
    assert info(error).reason == "INTERNAL"
    assert [entry["event"] for entry in logs] == ["handler_failed"]


async def test_own_abort_passes(served: Served) -> None:
    error = await refused(served[1], start("abort"))
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "own abort")


async def test_cancelled_rpc_cancels_the_handler(served: Served) -> None:
    servicer, channel = served
    with capture_logs() as logs:
        call = pb_grpc.SagaServiceStub(channel).StartSaga(start("hang"), timeout=5)
        task = asyncio.ensure_future(call)
        await asyncio.wait_for(servicer.entered.wait(), 5)
        call.cancel()
        await asyncio.wait_for(servicer.cancelled.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert logs == []


@pytest.mark.parametrize(
    ("after_seq", "code", "reason"),
    [(1, grpc.StatusCode.NOT_FOUND, "SAGA_NOT_FOUND"), (2, grpc.StatusCode.INTERNAL, "INTERNAL")],
)
async def test_stream_ends_cleanly(served: Served, after_seq: int, code: grpc.StatusCode, reason: str) -> None:
    call = pb_grpc.SagaServiceStub(served[1]).WatchSaga(
        pb.WatchSagaRequest(saga_id=SAGA_ID, after_seq=after_seq), timeout=5
    )
    assert isinstance(await call.read(), pb.WatchSagaResponse)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is code
    assert info(caught.value).reason == reason


async def test_unimplemented_method(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pb_grpc.SagaServiceStub(served[1]).GetSaga(pb.GetSagaRequest(saga_id=SAGA_ID), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.9.1:1", "[::1]:0", "localhost:0", "unix:/run/saga.sock"])
def test_addresses_of_this_machine_alone(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address", ["0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "node.example:0", "localhost.example:0"]
)
def test_addresses_that_others_reach(address: str) -> None:
    assert not is_loopback(address)
