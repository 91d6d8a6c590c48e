"""The saga as a DBOS workflow, run by the library in the process that calls it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from dbos import DBOS, DBOSConfig, SetWorkflowID
from orders.v1.orders_pb2 import PlaceOrderRequest

from benchmarks.calls import STEPS, Calls, RefusedError, key_metadata
from benchmarks.clients import Client
from benchmarks.load import Task
from contracts.metadata import PHASE_ACTION, PHASE_COMPENSATION

POOL_SIZE: Final = 16
THREADS: Final = 16
"""Both chosen by trying 8, 16, 32 and 64 connections, with 8 to 128 threads and 64 sagas in flight."""

_calls: list[Calls] = []


@DBOS.step()
async def act(step: str, payload: bytes) -> bytes | None:
    """None if the participant refuses."""
    order = PlaceOrderRequest.FromString(payload)
    try:
        return await _calls[0].act(step, order, key_metadata(order.request_id, step, PHASE_ACTION))
    except RefusedError:
        return None


@DBOS.step()
async def undo(step: str, payload: bytes, response: bytes) -> None:
    order = PlaceOrderRequest.FromString(payload)
    await _calls[0].undo(step, order, response, key_metadata(order.request_id, step, PHASE_COMPENSATION))


@DBOS.workflow()
async def saga(payload: bytes) -> bool:
    """Three steps, undone in reverse order if one is refused."""
    done: list[tuple[str, bytes]] = []
    for step in STEPS:
        response = await act(step, payload)
        if response is None:
            for name, earlier in reversed(done):
                await undo(name, payload, earlier)
            return False
        done.append((step, response))
    return True


@asynccontextmanager
async def open_client(task: Task) -> AsyncIterator[Client]:
    """Migrates DBOS's schema if there is none."""
    config = DBOSConfig(
        name="benchmark",
        system_database_url=task.where["database"].replace("postgresql+asyncpg://", "postgresql://"),
        sys_db_pool_size=POOL_SIZE,
        max_executor_threads=THREADS,
        enable_otlp=False,
        log_level="WARNING",
    )
    _calls.append(Calls(task.addresses))
    DBOS(config=config)
    DBOS.launch()

    async def carry_out(order: PlaceOrderRequest) -> bool:
        with SetWorkflowID(order.request_id):
            return bool(await saga(order.SerializeToString()))

    try:
        yield carry_out
    finally:
        await _calls[0].close()
        DBOS.destroy()
