"""Starts the saga's workflow and waits for its result."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from orders.v1.orders_pb2 import PlaceOrderRequest
from temporalio.client import Client as TemporalClient

from benchmarks.clients import CALL_TIMEOUT_S, Client
from benchmarks.load import Task


@asynccontextmanager
async def open_client(task: Task) -> AsyncIterator[Client]:
    """One connection, as recommended."""
    temporal = await TemporalClient.connect(task.where["temporal"])

    async def carry_out(order: PlaceOrderRequest) -> bool:
        ended = await temporal.execute_workflow(
            "PlaceOrder",
            order.SerializeToString(),
            id=order.request_id,
            task_queue=task.where["queue"],
            execution_timeout=timedelta(seconds=CALL_TIMEOUT_S),
            request_eager_start=False,
            result_type=bool,
        )
        return bool(ended)

    yield carry_out
