"""A caller that floods a real node, on a real database, with starts: another caller's are answered all the same."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from orchestrator.engine.admission import AdmissionPolicy
from orchestrator.rpc.limits.callers import CallerPolicy
from orchestrator.rpc.settings import RpcSettings
from tests.fixtures.postgres import DatabaseFactory, connect
from tests.integration.engine.harness import REGISTRY, Rig
from tests.security.limits.flooder import a_start
from tests.security.limits.served import CALLER_KEY, named_server

AT_ONCE = 200
STARTS = 8
PAUSE_S = 0.03
ANSWERED_S = 20.0
STOP_S = 60.0


@pytest.fixture
async def rig(fresh_database: DatabaseFactory) -> AsyncIterator[Rig]:
    """A fresh database and no node yet; what was started is stopped."""
    url = await fresh_database("orchestrator")
    db = await connect(url)
    rig = Rig(url, db)
    yield rig
    await rig.stop()
    await db.close()


@asynccontextmanager
async def flooding(port: int, ends: dict[str, int]) -> AsyncIterator[None]:
    """Somebody floods the port while the block runs; then ``ends`` has what came of it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.security.limits.flooder", str(port), str(AT_ONCE)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ".:generated"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(STOP_S):
            await process.stdout.readline()
        yield
        process.stdin.close()
        async with asyncio.timeout(STOP_S):
            ends.update(json.loads(await process.stdout.read()))
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    "callers", [CallerPolicy(), CallerPolicy(max_calls=20, max_calls_per_s=200)], ids=["unbounded", "bounded"]
)
async def test_a_flood_of_one_caller_leaves_the_others_served(rig: Rig, callers: CallerPolicy) -> None:
    node = await rig.node(admission=AdmissionPolicy(max_sagas=2000, target_delay_s=0.05, min_sagas=16))
    settings = RpcSettings(listen_address="127.0.0.1:0", callers=callers, shutdown_grace_s=0.0)
    server = named_server(settings, node.engine, node.real_store, REGISTRY)
    port = await server.start()
    latencies: list[float] = []
    flood: dict[str, int] = {}
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, flooding(port, flood):
            for number in range(STARTS):
                latencies.append(await started(SagaServiceStub(channel), number))
                await asyncio.sleep(PAUSE_S)
    finally:
        await node.engine.stop()
        await server.stop(0.0)
    latencies.sort()
    p50_ms, p95_ms = (latencies[len(latencies) * share // 100] * 1000 for share in (50, 95))
    sys.stdout.write(f"a flood ended {flood}; of another's {STARTS} starts none was refused, p50 {p50_ms:.0f} ms, ")
    sys.stdout.write(f"p95 {p95_ms:.0f} ms\n")
    assert sum(flood.values()) - flood.get("OK", 0) > 0, "else it was no flood"


async def started(sagas: Any, number: int) -> float:
    """How long one start took; it must not be refused."""
    began_s = time.monotonic()
    await sagas.StartSaga(a_start(f"small-{number}"), timeout=ANSWERED_S, metadata=((CALLER_KEY, "small"),))
    return time.monotonic() - began_s
