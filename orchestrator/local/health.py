"""Waits until a gRPC server says of itself that it serves.

As a command, for a container's health check: ``python -m orchestrator.local.health ADDRESS`` exits with 0 if it serves.
"""

import asyncio
import sys
from contextlib import suppress
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

CHECK_TIMEOUT_S: Final = 3.0


async def wait_until_serving(address: str, timeout_s: float) -> None:
    """Returns once the server's overall health is SERVING. Raises ``TimeoutError`` naming the address."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=timeout_s, wait_for_ready=True)
        with suppress(grpc.aio.AioRpcError):
            async for answer in watch:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    watch.cancel()
                    return
    raise TimeoutError(f"the server at {address} did not say SERVING within {timeout_s:g} s")


if __name__ == "__main__":
    try:
        asyncio.run(wait_until_serving(sys.argv[1], CHECK_TIMEOUT_S))
    except TimeoutError as error:
        sys.exit(str(error))
