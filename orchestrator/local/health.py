"""Waits until a gRPC server says of itself that it serves.

As a command, for a container's health check: ``python -m orchestrator.local.health ADDRESS`` exits with 0 if it serves.
With the variables of the server's own certificate it speaks TLS, by that certificate.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contracts.pem import TlsFileError
from contracts.tls import own_client
from contracts.tls_settings import server_tls

CHECK_TIMEOUT_S: Final = 3.0
PREFIXES: Final = ("ORCHESTRATOR_TLS_", "PARTICIPANT_TLS_")


async def wait_until_serving(
    address: str,
    timeout_s: float,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, str]] = (),
) -> None:
    """Returns once the server's overall health is SERVING. Raises ``TimeoutError`` naming the address."""
    if credentials is None:
        opened = grpc.aio.insecure_channel(address, options=list(options))
    else:
        opened = grpc.aio.secure_channel(address, credentials, options=list(options))
    async with opened as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=timeout_s, wait_for_ready=True)
        with suppress(grpc.aio.AioRpcError):
            async for answer in watch:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    watch.cancel()
                    return
    raise TimeoutError(f"the server at {address} did not say SERVING within {timeout_s:g} s")


def _own_certificate() -> tuple[grpc.ChannelCredentials | None, Sequence[tuple[str, str]]]:
    """How the server is reached by its own certificate, if the environment names one. Raises ``TlsFileError``."""
    for prefix in PREFIXES:
        cert_file, key_file = (os.environ.get(f"{prefix}{name}_FILE") for name in ("CERT", "KEY"))
        tls = server_tls(Path(cert_file) if cert_file else None, Path(key_file) if key_file else None, prefix)
        if tls is not None:
            return own_client(tls, tls.follow())
    return None, ()


if __name__ == "__main__":
    try:
        asyncio.run(wait_until_serving(sys.argv[1], CHECK_TIMEOUT_S, *_own_certificate()))
    except (TimeoutError, TlsFileError) as error:
        sys.exit(str(error))
