"""An OpenTelemetry collector that takes what it is sent and keeps nothing. Run as a process of its own.

Prints one line of JSON once it listens: ``{"collector": PORT}``.
"""

import asyncio
import json
import signal
import sys
from typing import Any, Final

import grpc
import uvloop
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

_ANSWERS: Final = {
    "opentelemetry.proto.collector.trace.v1.TraceService": traces.ExportTraceServiceResponse(),
    "opentelemetry.proto.collector.metrics.v1.MetricsService": metrics.ExportMetricsServiceResponse(),
}


def _handler(service: str) -> grpc.GenericRpcHandler:
    answer = _ANSWERS[service].SerializeToString()

    async def export(_request: bytes, _context: Any) -> bytes:
        return answer

    return grpc.method_handlers_generic_handler(service, {"Export": grpc.unary_unary_rpc_method_handler(export)})


async def serve() -> None:
    """Serves until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([_handler(service) for service in _ANSWERS])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(json.dumps({"collector": port}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(serve())
