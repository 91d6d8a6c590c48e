"""A participant that does what the test says, on the inventory's contract, with a table that counts its effects."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from inventory.v1 import inventory_pb2 as pb
from inventory.v1.inventory_saga import InventoryService
from sqlalchemy.ext.asyncio import AsyncConnection

from participants.kit import Participant, StepContext

Hook = Callable[[StepContext, AsyncConnection], Awaitable[None]]

EFFECT_TABLE = "CREATE TABLE effect (effect_id uuid NOT NULL, kind text NOT NULL, PRIMARY KEY (effect_id, kind))"

_RECORD = sa.text("INSERT INTO effect (effect_id, kind) VALUES (:effect_id, :kind)")


async def _nothing(_step: StepContext, _db: AsyncConnection) -> None:
    """The hook that lets the handler be."""


class Gate:
    """A hook that holds the handler, after its write, until the test opens it."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, _step: StepContext, _db: AsyncConnection) -> None:
        self.entered.set()
        await asyncio.wait_for(self.opened.wait(), 20)


class Probe:
    """Handlers with one hook for actions and one for compensations; ``runs`` counts how often each kind ran."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets hooks and counts."""
        self.on_action: Hook = _nothing
        self.on_undo: Hook = _nothing
        self.runs: dict[str, int] = defaultdict(int)
        self.effect_ids: set[UUID] = set()

    async def reserve(self, _request: pb.ReserveRequest, step: StepContext, db: AsyncConnection) -> pb.ReserveResponse:
        await self._run("action", self.on_action, step, db)
        return pb.ReserveResponse(reservation_id=f"run {self.runs['action']}")

    async def release(self, _request: pb.ReleaseRequest, step: StepContext, db: AsyncConnection) -> pb.ReleaseResponse:
        await self._run("undo", self.on_undo, step, db)
        return pb.ReleaseResponse(released_quantity=self.runs["undo"])

    async def confirm(
        self, _request: pb.ConfirmReservationRequest, step: StepContext, db: AsyncConnection
    ) -> pb.ConfirmReservationResponse:
        await self._run("action", self.on_action, step, db)
        return pb.ConfirmReservationResponse(shipped_quantity=1)

    async def receive(self, _request: pb.ReceiveStockRequest, _db: AsyncConnection) -> pb.ReceiveStockResponse:
        return pb.ReceiveStockResponse()

    async def report(self, _request: Any, _db: AsyncConnection) -> pb.GetInventoryReportResponse:
        return pb.GetInventoryReportResponse(held_reservations=self.runs["action"])

    async def _run(self, kind: str, hook: Hook, step: StepContext, db: AsyncConnection) -> None:
        self.runs[kind] += 1
        self.effect_ids.add(step.effect_id)
        await db.execute(_RECORD, {"effect_id": step.effect_id, "kind": kind})
        await hook(step, db)

    def participant(self) -> Participant:
        """The probe, bound to the inventory's contract."""
        bound = Participant("probe")
        bound.action(InventoryService.Reserve, self.reserve)
        bound.compensation(InventoryService.Release, self.release)
        bound.action(InventoryService.ConfirmReservation, self.confirm)
        bound.command(InventoryService.ReceiveStock, self.receive)
        bound.query(InventoryService.GetInventoryReport, self.report)
        return bound


def reserve_request(order_id: str = "order", quantity: int = 1, **fields: Any) -> pb.ReserveRequest:
    """A valid request for one line."""
    line = pb.StockLine(sku="SKU-1", quantity=quantity)
    return pb.ReserveRequest(order_id=order_id, warehouse_id="w1", lines=[line], **fields)


def release_request(order_id: str = "order") -> pb.ReleaseRequest:
    """The undo of :func:`reserve_request`, from what is known without its response."""
    return pb.ReleaseRequest(order_id=order_id)
