"""A closed loop of orders through a node's front door. ``python -m benchmarks.scale.load TASK``: a :class:`Task`, JSON.

Prints ``begun`` after the warm-up and then a :class:`Window` as JSON. A process of its own, so that it is not what is
measured.
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import grpc
import uvloop
from commerce.v1.address_pb2 import Address
from commerce.v1.money_pb2 import Money
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from orders.v1.orders_pb2 import OrderLine, PlaceOrderRequest
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED

from contracts.errors import DETAILS_KEY

CALL_TIMEOUT_S = 60.0
START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """``in_flight`` customers place orders for ``seconds`` after ``warm_up_s``, one after the other with ``pause_s``
    between two. ``prefix`` makes the orders' ids new.
    """

    address: str
    prefix: str
    seconds: float
    in_flight: int = 64
    warm_up_s: float = 1.0
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """Sagas that completed within ``seconds``, and how long each took from the caller's side."""

    sagas: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Sagas a second."""
        return self.sagas / self.seconds


def order(order_id: str) -> PlaceOrderRequest:
    """An order like any other."""
    return PlaceOrderRequest(
        request_id=order_id,
        order_id=order_id,
        customer_id="CUS-00001",
        warehouse_id="BER-1",
        lines=[OrderLine(sku="ART-0001", quantity=1), OrderLine(sku="ART-0002", quantity=2)],
        total=Money(currency_code="EUR", amount_minor=1990),
        payment_method="pm_card_visa",
        ship_to=Address(
            recipient="Anna Schneider",
            address_lines=["Torstraße 49"],
            locality="Berlin",
            postal_code="10119",
            region_code="DE",
        ),
    )


async def generate(task: Task) -> None:
    """Carries the task out. Raises an ``ExceptionGroup`` if an order failed."""
    latencies_s: list[float] = []
    number, over = 0, False
    async with grpc.aio.insecure_channel(task.address) as channel:
        place: Any = OrderServiceStub(channel).PlaceOrder

        async def customer() -> None:
            nonlocal number
            while not over:
                number += 1
                begun = time.perf_counter()
                await _carry_out(place, order(f"{task.prefix}-{number}"))
                latencies_s.append(time.perf_counter() - begun)
                await asyncio.sleep(task.pause_s)

        async with asyncio.TaskGroup() as group:
            for _ in range(task.in_flight):
                group.create_task(customer())
            await asyncio.sleep(task.warm_up_s)
            latencies_s.clear()
            _say({"begun": True})
            begun = time.perf_counter()
            await asyncio.sleep(task.seconds)
            seconds, found = time.perf_counter() - begun, sorted(latencies_s)
            over = True
    _say(asdict(Window(len(found), seconds, _share_ms(found, 0.5), _share_ms(found, 0.99))))


async def _carry_out(place: Any, request: PlaceOrderRequest) -> None:
    """Comes again when the node says so, as every caller should."""
    while True:
        try:
            answer = await place(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            await asyncio.sleep(_retry_delay_s(error))
        else:
            assert answer.state == SAGA_STATE_COMPLETED, answer
            return


def _retry_delay_s(error: grpc.aio.AioRpcError) -> float:
    status = Status.FromString(bytes(dict(error.trailing_metadata() or ())[DETAILS_KEY]))
    info = RetryInfo()
    if not any(detail.Unpack(info) for detail in status.details):
        raise error
    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)


def _share_ms(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def measured(task: Task) -> Window:
    """Runs the task in a process of its own. Raises ``RuntimeError`` if it failed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.scale.load",
        json.dumps(asdict(task)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        async with asyncio.timeout(START_TIMEOUT_S + task.warm_up_s + task.seconds + CALL_TIMEOUT_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise RuntimeError("the load generator failed; what it printed says why")
    return Window(**json.loads(output.splitlines()[-1]))


if __name__ == "__main__":
    uvloop.run(generate(Task(**json.loads(sys.argv[1]))))
