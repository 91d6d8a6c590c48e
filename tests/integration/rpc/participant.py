"""A scripted participant: a real gRPC server whose answers a test chooses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

Handler = Callable[[bytes, Any], Awaitable[bytes]]

SERVICE = "test.v1.Participant"
PATH = f"/{SERVICE}/Do"


class Participant(grpc.GenericRpcHandler):
    """Serves every path with ``handler``; counts calls and keeps the last call's metadata."""

    def __init__(self) -> None:
        self.port = 0
        self.calls = 0
        self.metadata: dict[str, str] = {}
        self.time_remaining_s = 0.0
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.handler: Handler = self.echo

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._serve)

    async def _serve(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        self.metadata = dict(context.invocation_metadata())
        self.time_remaining_s = context.time_remaining()
        return await self.handler(request, context)

    async def echo(self, request: bytes, _context: Any) -> bytes:
        return request

    async def hang(self, _request: bytes, _context: Any) -> bytes:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError("unreachable")


@asynccontextmanager
async def serving(participant: Participant, port: int = 0) -> AsyncIterator[Participant]:
    """Serves on a loopback port, a free one by default, until the block ends."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((participant,))
    participant.port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield participant
    finally:
        await server.stop(0)
