"""Streams are counted whether they yield or write to their context themselves."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry
from saga.v1 import saga_service_pb2 as pb
from saga.v1 import saga_service_pb2_grpc as pb_grpc

from contracts.serving import ServingInterceptor
from orchestrator.telemetry.rpc_metrics import RpcMetrics

SAGA_ID = "01900000-0000-7000-8000-000000000000"


class Sagas(pb_grpc.SagaServiceServicer):
    async def WatchSaga(self, request: pb.WatchSagaRequest, context: Any) -> AsyncIterator[pb.WatchSagaResponse]:  # noqa: N802  (the contract's name)
        yield pb.WatchSagaResponse()
        yield pb.WatchSagaResponse()


@pytest.mark.parametrize("inner", [[], [ServingInterceptor(10_000)]], ids=["yields", "writes"])
async def test_a_stream_is_counted(inner: list[grpc.aio.ServerInterceptor]) -> None:
    registry = CollectorRegistry()
    server = grpc.aio.server(interceptors=[RpcMetrics(registry), *inner])
    pb_grpc.add_SagaServiceServicer_to_server(Sagas(), server)  # type: ignore[abstract]  # the others stay the generated placeholders
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = pb_grpc.SagaServiceStub(channel)
        stream: Any = stub.WatchSaga(pb.WatchSagaRequest(saga_id=SAGA_ID), timeout=10)
        assert len([event async for event in stream]) == 2
    await server.stop(0)
    labels = {"method": "saga.v1.SagaService/WatchSaga"}
    assert registry.get_sample_value("saga_rpc_duration_seconds_count", {**labels, "code": "OK"}) == 1
    assert registry.get_sample_value("saga_rpc_in_flight", labels) == 0
