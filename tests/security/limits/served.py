"""A node's server over a played engine, in a process of its own, so that its memory can be told from its callers'.

``python -m tests.security.limits.served`` prints the port, and serves until its standard input ends. Whoever calls is
taken for whom the call's metadata names.
"""

import asyncio
import os
import sys
from typing import Any, Final
from unittest.mock import patch

import grpc
import uvloop

from orchestrator.engine.stored import StoredEntry
from orchestrator.rpc import server as module
from orchestrator.rpc.identity import CURRENT, LOCAL, Identity
from orchestrator.rpc.in_flight import InFlight
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings
from tests.integration.rpc.fakes import REGISTRY, FakeEngine, FakeQueries, an_entry

CALLER_KEY: Final = "test-caller"
EVENTS: Final = 2_000
EVENT_BYTES: Final = 10_000
SLOW_READER_S: Final = 1.0


class Named(InFlight):
    """Takes the word of whoever calls for who it is."""

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """See :class:`InFlight`."""
        for key, value in handler_call_details.invocation_metadata or ():
            if key == CALLER_KEY:
                CURRENT.set(Identity(str(value)))
        return await super().intercept_service(continuation, handler_call_details)


class Grown(FakeEngine):
    """Every saga has a long journal."""

    async def follow(self, saga_id: Any, after_seq: int) -> Any:
        """See ``SagaEngine.follow``."""
        yield EVENTS
        await asyncio.Event().wait()

    async def start(self, *arguments: Any, **named: Any) -> Any:
        """Keeps nothing, unlike the double that it stands in for."""
        started = await super().start(*arguments, **named)
        self.starts.clear()
        return started


def named_server(settings: RpcSettings, engine: Any, queries: Any, registry: Any = REGISTRY) -> RpcServer:
    """A server whose callers say who they are."""
    with patch.object(module, "InFlight", Named):
        return RpcServer(settings, engine, queries, registry)


async def _serve() -> None:
    queries = FakeQueries()
    # One payload for all of them: what grows is the server's.
    payload = an_entry(1, size=EVENT_BYTES).attributes
    kind = an_entry(1).kind
    queries.entries = [StoredEntry(seq, kind, payload, 1_700_000_000_000_000, 7) for seq in range(1, EVENTS + 1)]
    settings = RpcSettings(listen_address="127.0.0.1:0", slow_reader_s=SLOW_READER_S, shutdown_grace_s=0.0)
    server = named_server(settings, Grown(), queries)
    sys.stdout.write(f"{await server.start()}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, os.read, sys.stdin.fileno(), 1)
    await server.stop(0)


if __name__ == "__main__":
    assert CURRENT.get() is LOCAL
    uvloop.run(_serve())
