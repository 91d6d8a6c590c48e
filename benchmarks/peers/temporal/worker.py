"""Polls Temporal for the saga's tasks. ``python -m ….worker ADDRESS QUEUE PARTICIPANTS``."""

import asyncio
import json
import signal
import sys
from typing import Final

from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from benchmarks.calls import Calls
from benchmarks.peers.temporal.saga import Activities, PlaceOrder

TASKS: Final = 600
"""More than the largest number of sagas in flight."""


async def serve(address: str, queue: str, addresses: dict[str, str]) -> None:
    """Works until SIGTERM. Prints one line of JSON once it polls."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(address)
    activities = Activities(Calls(addresses))
    async with Worker(
        client,
        task_queue=queue,
        workflows=[PlaceOrder],
        activities=[activities.act, activities.undo],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=2 * TASKS,
        max_concurrent_workflow_tasks=TASKS,
        max_concurrent_activities=TASKS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
    ):
        sys.stdout.write(json.dumps({"polls": queue}) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
