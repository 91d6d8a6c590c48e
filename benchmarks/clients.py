"""Ways to carry out an order in the load generator's own process: bare calls, or one call to a node."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import grpc
from orders.v1.orders_pb2 import PlaceOrderRequest
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED, SagaState

from benchmarks.calls import STEPS, Calls, Metadata, RefusedError, barrier_metadata, target
from contracts.errors import Reason, error_info, retry_delay_s
from contracts.metadata import PHASE_ACTION, PHASE_COMPENSATION
from orchestrator.engine.ids import uuid7
from orchestrator.rpc.targets import ChannelSettings, open_channel

Client: TypeAlias = Callable[[PlaceOrderRequest], Awaitable[bool]]
"""Carries out one order to its end: True if it completed, False if it was refused and undone. Raises for all else."""

CALL_TIMEOUT_S: Final = 120.0
"""Longer than a slow contender's queue with everything in flight."""
MAX_REFUSALS: Final = 1000
"""How often a node may ask for patience before that is a failure."""


class NotEndedError(Exception):
    """A saga that should have ended did not; the message says where it stands."""


@asynccontextmanager
async def bare_client(
    addresses: Mapping[str, str], tls: Mapping[str, str] | None, *, with_metadata: bool
) -> AsyncIterator[Client]:
    """Makes the calls in their order and undoes them if one is refused. Remembers nothing.

    ``addresses``: by full name of service. ``with_metadata`` sends what a barrier demands, for a saga of its own.
    """
    calls = Calls(addresses, tls)

    async def carry_out(order: PlaceOrderRequest) -> bool:
        saga_id = str(uuid7(time.time_ns() // 1000, os.urandom)) if with_metadata else ""

        def metadata(step: str, phase: str) -> Metadata:
            return barrier_metadata(saga_id, step, phase) if with_metadata else ()

        done: list[tuple[str, bytes]] = []
        try:
            for step in STEPS:
                response = await calls.act(step, order, metadata(step, PHASE_ACTION))
                done.append((step, response))
        except RefusedError:
            for step, response in reversed(done):
                await calls.undo(step, order, response, metadata(step, PHASE_COMPENSATION))
            return False
        return True

    try:
        yield carry_out
    finally:
        await calls.close()


@asynccontextmanager
async def front_door_client(address: str, tls: Mapping[str, str] | None = None) -> AsyncIterator[Client]:
    """Places the order at a node and waits for its end. Comes again when the node says so; that time counts."""
    channel = open_channel(target(address, tls), ChannelSettings())
    place = OrderServiceStub(channel).PlaceOrder

    async def carry_out(order: PlaceOrderRequest) -> bool:
        for _ in range(MAX_REFUSALS):
            try:
                response = await place(order, timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                trailers = tuple(error.trailing_metadata())
                info, delay_s = error_info(trailers), retry_delay_s(trailers)
                if info is not None and info.reason == Reason.SAGA_COMPENSATED:
                    return False
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED or delay_s is None:
                    raise
                await asyncio.sleep(delay_s)
            else:
                break
        else:
            raise NotEndedError(f"the node refused an order {MAX_REFUSALS} times")
        if response.state != SAGA_STATE_COMPLETED:
            raise NotEndedError(f"saga {response.saga_id} is {SagaState.Name(response.state)}")
        return True

    try:
        yield carry_out
    finally:
        await channel.close()
