"""Starts the saga's workflow and waits for its result. The worker runs in the same process.

Only so does the server hand the first workflow task out with its answer to the start ("eager workflow start"), which
otherwise takes one more dispatch.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from orders.v1.orders_pb2 import PlaceOrderRequest
from temporalio.client import Client as TemporalClient
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from benchmarks.calls import Calls
from benchmarks.clients import CALL_TIMEOUT_S, Client
from benchmarks.load import Task
from benchmarks.peers.temporal.saga import Activities, PlaceOrder

QUEUE: Final = "place-order"
TASKS: Final = 600
"""More than the largest number of sagas in flight."""


@asynccontextmanager
async def open_client(task: Task) -> AsyncIterator[Client]:
    """One connection, as recommended."""
    temporal = await TemporalClient.connect(task.where["temporal"])
    calls = Calls(task.addresses)
    activities = Activities(calls)

    async def carry_out(order: PlaceOrderRequest) -> bool:
        ended = await temporal.execute_workflow(
            "PlaceOrder",
            order.SerializeToString(),
            id=order.request_id,
            task_queue=QUEUE,
            execution_timeout=timedelta(seconds=CALL_TIMEOUT_S),
            request_eager_start=True,
            result_type=bool,
        )
        return bool(ended)

    async with Worker(
        temporal,
        task_queue=QUEUE,
        workflows=[PlaceOrder],
        activities=[activities.act, activities.undo],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=2 * TASKS,
        max_concurrent_workflow_tasks=TASKS,
        max_concurrent_activities=TASKS,
        max_concurrent_local_activities=TASKS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
    ):
        yield carry_out
    await calls.close()
