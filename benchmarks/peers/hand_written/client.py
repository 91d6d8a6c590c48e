"""An honest coordinator inside the application: state in PostgreSQL through SQLAlchemy, no framework.

Before each call it commits that the step may run, after it what came of it, and one commit more at either end: eight
for three steps. With that, a process that finds a saga of a dead one knows which steps may have taken effect; calls
carry idempotency keys, so it may repeat them. The recovery loop itself is not part of the measurement.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from orders.v1.orders_pb2 import PlaceOrderRequest
from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    insert,
    make_url,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.calls import STEPS, Calls, RefusedError, key_metadata
from benchmarks.clients import Client
from benchmarks.load import Task
from contracts.metadata import PHASE_ACTION, PHASE_COMPENSATION

POOL_SIZE: Final = 32
"""Chosen by trying 8, 16, 32 and 64 with 64 in flight."""

_METADATA: Final = MetaData()
SAGAS: Final = Table(
    "sagas",
    _METADATA,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
STEP_ROWS: Final = Table(
    "steps",
    _METADATA,
    Column("saga_id", Text, ForeignKey("sagas.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("response", LargeBinary),
)

# Built once: what is left to a call is its parameters.
_BEGIN: Final = insert(SAGAS)
_STEP: Final = insert(STEP_ROWS)
_STEP_TO: Final = (
    update(STEP_ROWS)
    .where(
        STEP_ROWS.c.saga_id == bindparam("saga"),
        STEP_ROWS.c.name == bindparam("step"),
        STEP_ROWS.c.state == bindparam("before"),
    )
    .values(state=bindparam("after"), response=bindparam("answer"))
)
_SAGA_TO: Final = (
    update(SAGAS)
    .where(SAGAS.c.id == bindparam("saga"), SAGAS.c.state == bindparam("before"))
    .values(state=bindparam("after"), updated_at=func.now())
)
_UNENDED: Final = """
    CREATE INDEX IF NOT EXISTS sagas_unended ON sagas (updated_at) WHERE state IN ('running', 'compensating')
"""


class StateError(Exception):
    """A row was not in the state that a change starts from: another coordinator has the saga."""


class Coordinator:
    """Runs sagas of ``place-order``, each step between two commits."""

    def __init__(self, engine: AsyncEngine, calls: Calls) -> None:
        self._engine = engine
        self._calls = calls

    async def carry_out(self, order: PlaceOrderRequest) -> bool:
        """True if the order completed, False if it was refused and undone."""
        saga = order.request_id
        await self._commit(_BEGIN, {"id": saga, "state": "running", "payload": order.SerializeToString()})
        done: list[tuple[str, bytes]] = []
        for step in STEPS:
            await self._commit(_STEP, {"saga_id": saga, "name": step, "state": "started"})
            try:
                response = await self._calls.act(step, order, key_metadata(saga, step, PHASE_ACTION))
            except RefusedError:
                await self._move_step(saga, step, "started", "refused")
                await self._undo(saga, order, done)
                return False
            await self._move_step(saga, step, "started", "done", response)
            done.append((step, response))
        await self._move_saga(saga, "running", "completed")
        return True

    async def _undo(self, saga: str, order: PlaceOrderRequest, done: list[tuple[str, bytes]]) -> None:
        await self._move_saga(saga, "running", "compensating")
        for step, response in reversed(done):
            await self._move_step(saga, step, "done", "undoing", response)
            await self._calls.undo(step, order, response, key_metadata(saga, step, PHASE_COMPENSATION))
            await self._move_step(saga, step, "undoing", "undone", response)
        await self._move_saga(saga, "compensating", "compensated")

    async def _move_step(self, saga: str, step: str, before: str, after: str, answer: bytes | None = None) -> None:
        values = {"saga": saga, "step": step, "before": before, "after": after, "answer": answer}
        await self._commit(_STEP_TO, values)

    async def _move_saga(self, saga: str, before: str, after: str) -> None:
        await self._commit(_SAGA_TO, {"saga": saga, "before": before, "after": after})

    async def _commit(self, statement: Any, values: dict[str, Any]) -> None:
        """One transaction. Raises ``StateError`` if it changed nothing."""
        async with self._engine.begin() as connection:
            changed = await connection.execute(statement, values)
            if changed.rowcount != 1:
                raise StateError(f"saga {values.get('saga') or values.get('id')} is not where it was")


@asynccontextmanager
async def open_client(task: Task) -> AsyncIterator[Client]:
    """Creates the tables if there are none."""
    url = make_url(task.where["database"]).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=120)
    calls = Calls(task.addresses)
    async with engine.begin() as connection:
        await connection.run_sync(_METADATA.create_all)
        # What a recovery loop would look for; partial, so that ended sagas cost it nothing.
        await connection.execute(text(_UNENDED))
    try:
        yield Coordinator(engine, calls).carry_out
    finally:
        await calls.close()
        await engine.dispose()
