"""The two ways to carry out an order: three bare calls one after the other, or one call to the orchestrator."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import grpc
from orders.v1.orders_pb2 import PlaceOrderRequest
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED, SagaState

from contracts import metadata as keys
from orchestrator.definitions.shipped.place_order_v1 import place_order_v1
from orchestrator.engine.ids import uuid7
from orchestrator.rpc.targets import ChannelSettings, Target, open_channel

Client: TypeAlias = Callable[[PlaceOrderRequest], Awaitable[None]]
"""Carries out one order to its end. Raises ``grpc.RpcError``, or ``NotCompletedError``."""

CALL_TIMEOUT_S: Final = 30.0


class NotCompletedError(Exception):
    """A saga that should have completed did not; the message says where it stands."""


def open_channels(addresses: Mapping[str, str]) -> dict[str, grpc.aio.Channel]:
    """A channel for each service, with the orchestrator's own options; services at one address share it."""
    channels = {address: open_channel(Target(address), ChannelSettings()) for address in set(addresses.values())}
    return {service: channels[address] for service, address in addresses.items()}


def bare_client(addresses: Mapping[str, str], *, with_metadata: bool) -> Client:
    """Makes the calls of ``place-order`` v1, in its order, from its own builders, and remembers nothing.

    ``addresses``: by full name of service. ``with_metadata`` sends what a barrier demands, for a saga of its own.
    """
    channels = open_channels(addresses)
    steps: list[tuple[str, Callable[[PlaceOrderRequest], Any], Any]] = []
    for step in place_order_v1.steps:
        method = step.method
        stub: Any = channels[method.service].unary_unary(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        steps.append((step.name, step.builder, stub))

    async def carry_out(order: PlaceOrderRequest) -> None:
        saga_id = str(uuid7(time.time_ns() // 1000, os.urandom)) if with_metadata else ""
        for name, build, call in steps:
            metadata = _metadata(saga_id, name) if with_metadata else None
            await call(build(order), timeout=CALL_TIMEOUT_S, metadata=metadata)

    return carry_out


def front_door_client(address: str) -> Client:
    """Places the order at a node and waits for its end."""
    place = OrderServiceStub(open_channel(Target(address), ChannelSettings())).PlaceOrder

    async def carry_out(order: PlaceOrderRequest) -> None:
        response = await place(order, timeout=CALL_TIMEOUT_S)
        if response.state != SAGA_STATE_COMPLETED:
            raise NotCompletedError(f"saga {response.saga_id} is {SagaState.Name(response.state)}")

    return carry_out


def _metadata(saga_id: str, step: str) -> tuple[tuple[str, str], ...]:
    return (
        (keys.SAGA_ID, saga_id),
        (keys.SAGA_STEP, step),
        (keys.IDEMPOTENCY_KEY, keys.idempotency_key(saga_id, step, keys.PHASE_ACTION)),
        (keys.EPOCH, "1"),
        (keys.ATTEMPT, "1"),
    )
