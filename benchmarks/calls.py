"""The saga's three calls and their undos, as a program without an orchestrator makes them: plain stubs, plain code.

Every request is that of ``place-order`` v1, so that all contenders put the same bytes on the wire.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import Message
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_saga import ShippingService

from contracts import metadata as keys
from contracts.method import Method
from contracts.tls import ClientTls
from orchestrator.definitions.shipped.place_order_v1 import charge, refund, release, reserve, ship
from orchestrator.rpc.targets import ChannelSettings, Target, open_channel

Metadata: TypeAlias = tuple[tuple[str, str], ...]

CALL_TIMEOUT_S: Final = 10.0
STEPS: Final = ("reserve", "charge", "ship")
"""In their order. The last is never undone: a refusal with a barrier's proof had no effect."""


class RefusedError(Exception):
    """A participant says no and proves that nothing happened: what was done before is to be undone."""


@dataclass(frozen=True, slots=True)
class _Step:
    action: Method[Any, Any]
    build: Callable[[PlaceOrderRequest], Message]
    compensation: Method[Any, Any] | None = None
    build_undo: Callable[[PlaceOrderRequest, Any], Message] | None = None


_STEPS: Final = {
    "reserve": _Step(InventoryService.Reserve, reserve.builder, InventoryService.Release, release),
    "charge": _Step(PaymentService.Charge, charge.builder, PaymentService.Refund, refund),
    "ship": _Step(ShippingService.CreateShipment, ship.builder),
}


class Calls:
    """The participants' stubs, shared by all sagas of a process. Needs a running event loop."""

    def __init__(self, addresses: Mapping[str, str], tls: Mapping[str, str] | None = None) -> None:
        """``addresses``: by full name of service. ``tls``: files of mutual TLS."""
        self._channels = open_channels(addresses, tls)
        self._stubs: dict[str, Any] = {}
        for step in _STEPS.values():
            for method in filter(None, (step.action, step.compensation)):
                self._stubs[method.path] = self._channels[method.service].unary_unary(
                    method.path, method.request.SerializeToString, method.response.FromString
                )

    async def act(self, name: str, order: PlaceOrderRequest, metadata: Metadata) -> bytes:
        """The step's response, serialized. Raises ``RefusedError``, or ``grpc.RpcError`` where that is not proven."""
        step = _STEPS[name]
        try:
            response = await self._stubs[step.action.path](step.build(order), timeout=CALL_TIMEOUT_S, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if (keys.VERDICT, keys.VERDICT_STORED) in tuple(error.trailing_metadata()):
                raise RefusedError(name) from None
            raise
        return bytes(response.SerializeToString())

    async def undo(self, name: str, order: PlaceOrderRequest, response: bytes, metadata: Metadata) -> None:
        """Undoes a step whose response this is. Raises ``grpc.RpcError``."""
        step = _STEPS[name]
        assert step.compensation is not None
        assert step.build_undo is not None
        request = step.build_undo(order, step.action.response.FromString(response))
        await self._stubs[step.compensation.path](request, timeout=CALL_TIMEOUT_S, metadata=metadata)

    async def close(self) -> None:
        """Closes the connections."""
        for channel in set(self._channels.values()):
            await channel.close()


def target(address: str, tls: Mapping[str, str] | None) -> Target:
    """Where a channel leads, and by which files."""
    return Target(address, None if tls is None else client_tls(tls))


def client_tls(files: Mapping[str, str]) -> ClientTls:
    """``ca_file``, ``cert_file`` and ``key_file``."""
    return ClientTls(Path(files["ca_file"]), Path(files["cert_file"]), Path(files["key_file"]))


def open_channels(addresses: Mapping[str, str], tls: Mapping[str, str] | None = None) -> dict[str, grpc.aio.Channel]:
    """A channel for each service, with the orchestrator's own options; services at one address share it."""
    channels = {address: open_channel(target(address, tls), ChannelSettings()) for address in set(addresses.values())}
    return {service: channels[address] for service, address in addresses.items()}


def barrier_metadata(saga_id: str, step: str, phase: str) -> Metadata:
    """What a barrier demands of a call."""
    return (
        (keys.SAGA_ID, saga_id),
        (keys.SAGA_STEP, step),
        (keys.IDEMPOTENCY_KEY, keys.idempotency_key(saga_id, step, phase)),
        (keys.EPOCH, "1"),
        (keys.ATTEMPT, "1"),
    )


def key_metadata(saga_id: str, step: str, phase: str) -> Metadata:
    """What an application sends by itself: the idempotency key of the effect."""
    return ((keys.IDEMPOTENCY_KEY, keys.idempotency_key(saga_id, step, phase)),)
