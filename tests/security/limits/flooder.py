"""One caller that starts sagas as fast as it can, heeding nothing.

``python -m tests.security.limits.flooder PORT CALLS`` keeps so many calls under way: a process of its own, so that the
others do not wait for it in theirs. Prints a line once it is under way, and what came of its calls, as JSON, once its
standard input ends.
"""

import asyncio
import json
import os
import sys
from collections import Counter

import grpc
import uvloop
from inventory.v1.inventory_pb2 import ReserveRequest, StockLine
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.errors import error_info
from tests.security.limits.served import CALLER_KEY


def a_start(name: str) -> pb.StartSagaRequest:
    """A saga of three steps, for an order called ``name``."""
    order = ReserveRequest(order_id=name, warehouse_id=name, lines=[StockLine(sku="SKU-1", quantity=1)])
    return pb.StartSagaRequest(request_id=name, definition="line", version=1, input=order.SerializeToString())


async def _flood(port: int, at_once: int) -> None:
    stopping = asyncio.Event()
    ends: Counter[str] = Counter()
    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(4)
    ]

    async def caller(number: int) -> None:
        sagas = SagaServiceStub(channels[number % len(channels)])
        turn = 0
        while not stopping.is_set():
            turn += 1
            name = f"flood-{number}-{turn}"
            request = a_start(name)
            try:
                await sagas.StartSaga(request, timeout=30, metadata=((CALLER_KEY, "flood"),))
                ends["OK"] += 1
            except grpc.aio.AioRpcError as error:
                info = error_info(tuple(error.trailing_metadata() or ()))
                ends[info.reason if info else error.code().name] += 1

    tasks = [asyncio.create_task(caller(number)) for number in range(at_once)]
    sys.stdout.write("under way\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, os.read, sys.stdin.fileno(), 1)
    stopping.set()
    await asyncio.wait(tasks, timeout=30)
    sys.stdout.write(json.dumps(ends) + "\n")


if __name__ == "__main__":
    uvloop.run(_flood(int(sys.argv[1]), int(sys.argv[2])))
