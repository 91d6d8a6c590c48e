"""Faults between nodes and participants: half-open, late, duplicated, overtaken by the undo, cut off on one side."""

import asyncio
import time
from contextlib import suppress

import grpc
from inventory.v1.inventory_pb2 import ReserveRequest, StockLine

from tests.chaos.proxy import Trap
from tests.chaos.stage import Stage, fault, must, until
from tests.chaos.world import LEASE_TTL_S, Actor

NOTICED_S = 25.0
"""Keepalive and its timeout are 10 s and 3 s; then a new connection is tried, which may take 2 s and backs off."""


@fault("F10", "half-open connection")
async def leave_half_open(stage: Stage) -> tuple[int, str]:
    node, _ = await stage.two()
    to_payment, to_store = node.participants["payment"], node.database
    saga_ids = [await stage.load.start(node, stage.load.order()) for _ in range(5)]
    await stage.ended(saga_ids, 20)
    before = to_payment.connections
    to_payment.deaf = {"up", "down"}
    saga_ids = [await stage.load.start(node, stage.load.order()) for _ in range(10)]
    began = time.monotonic()

    async def reconnected() -> bool:
        return to_payment.connections > before

    try:
        await until(reconnected, NOTICED_S, "a dead connection to a participant was noticed")
    except AssertionError as error:
        stage.wrong(f"F10: {error}")
    noticed = time.monotonic() - began
    must(to_payment.swallowed, "no byte was swallowed")
    to_payment.heal()
    before = to_store.connections
    to_store.deaf = {"up", "down"}
    began = time.monotonic()

    async def store_reconnected() -> bool:
        return to_store.connections > before

    await until(store_reconnected, 15, "a dead connection to the database was noticed")
    store_noticed = time.monotonic() - began
    must(to_store.swallowed, "no byte to the database was swallowed")
    to_store.heal()
    await stage.ended(saga_ids, 60)
    swallowed = to_payment.swallowed + to_store.swallowed
    return (
        2,
        f"{swallowed} bytes swallowed; noticed after {noticed:.1f} s (participant) and {store_noticed:.1f} s (store)",
    )


@fault("F11", "error answered after the work was done", short=True)
async def fail_after_commit(stage: Stage) -> tuple[int, str]:
    node, _ = await stage.two()
    fired = 0
    for name in stage.world.participants:
        actor = await stage.world.restart_participant(
            name, failpoints="action.committed=error@*,compensation.committed=error@*"
        )
        before = len(actor.fired())
        saga_ids = [
            await stage.load.start(node, stage.load.order("undeliverable" if number % 3 == 0 else ""))
            for number in range(12)
        ]
        await stage.ended(saga_ids, 60)
        told = len(actor.fired()) - before
        must(told, f"{name} answered no error after its work")
        fired += told
        await stage.world.restart_participant(name)
    return fired, f"{fired} errors answered after a commit, by the participants' own logs"


@fault("F12", "answer arrives after the lease was lost", short=True)
async def answer_too_late(stage: Stage) -> tuple[int, str]:
    late = claimed = 0
    for _ in range(3 if stage.full else 1):
        node, _ = await stage.two()
        trap = node.participants["shipping"].trap(Trap("down", b"", "hold", again=True))
        saga_ids = [
            await stage.load.start(node, stage.load.order(), ("brisk-order", number % 2 + 1)) for number in range(10)
        ]
        await asyncio.wait_for(trap.sprung.wait(), 15)
        node.database.deaf = {"up", "down"}

        async def taken(node: Actor = node, saga_ids: list[str] = saga_ids) -> bool:
            return await stage.owned_by(node, saga_ids) == 0

        owned = await stage.owned_by(node, saga_ids)
        must(owned, "the node owned nothing when its answers were held")
        await until(taken, LEASE_TTL_S + 10, "another node claimed the sagas")
        await stage.ended(saga_ids, 40)
        trap.release()
        must(trap.caught, "no answer came late")
        late += trap.matches
        claimed += owned
        await stage.world.heal()
    return late, f"{late} answers came after {claimed} sagas had another owner"


@fault("F13", "duplicated request, concurrently", short=True)
async def duplicate_requests(stage: Stage) -> tuple[int, str]:
    node, _ = await stage.two()
    way = node.participants["inventory"]
    copies = answered = 0
    for number in range(10 if stage.full else 3):
        sku = f"ONE-{number:03}"
        trap = way.trap(Trap("up", sku.encode(), "late"))
        starting = asyncio.create_task(stage.load.start(node, stage.load.order(sku=sku), timeout_s=20))
        await asyncio.wait_for(trap.sprung.wait(), 15)
        must(trap.recording, "no request was recorded")
        answers = await asyncio.gather(*(way.deliver(trap) for _ in range(6)))
        copies += len(answers)
        answered += sum(answer > 0 for answer in answers)
        await stage.ended([await starting], 30)
    must(answered == copies, f"only {answered} of {copies} copies were answered")
    return copies, f"{copies} copies of requests sent at once, next to the node's own repeats; all were answered"


@fault("F14", "action after its compensation; compensation without action", short=True)
async def undo_before_do(stage: Stage) -> tuple[int, str]:
    late = tombstones = 0
    for number in range(8 if stage.full else 2):
        node, _ = await stage.two()
        way = node.participants["inventory"]
        sku = f"ONE-{100 + number:03}"
        trap = way.trap(Trap("up", sku.encode(), "late", again=True))
        saga_id = await stage.load.start(node, stage.load.order(sku=sku))
        await asyncio.wait_for(trap.sprung.wait(), 15)
        await stage.load.cancel(saga_id)
        await stage.ended([saga_id], 30)
        row = await stage.barrier("inventory", saga_id, "reserve")
        must(row is None or row["state"] == 3, "the action had arrived before its compensation")
        tombstones += 1
        must(await way.deliver(trap), "the held action was not delivered")
        late += 1
        way.heal()
    return late + tombstones, f"{tombstones} undos without a do, {late} actions delivered after their undo"


@fault("F26", "one-sided partition", short=True)
async def partition_one_side(stage: Stage) -> tuple[int, str]:
    fired = 0
    told = []
    # The database is reachable, no participant is.
    node, other = await stage.two()
    for way in node.participants.values():
        way.refusing = True
        way.cut()
    stranded = [await stage.load.start(node, stage.load.order()) for _ in range(10)]
    others = [await stage.load.start(other, stage.load.order()) for _ in range(10)]
    await stage.ended(others, 30)
    await asyncio.sleep(4)
    refused = sum(way.refused for way in node.participants.values())
    must(refused, "no connection to a participant was refused")
    held = await stage.owned_by(node, stranded)
    told.append(f"{held} of 10 sagas kept by a node that reaches no participant")
    for way in node.participants.values():
        way.heal()
    took = await stage.ended(stranded, 40)
    told.append(f"ended {took:.1f} s after healing")
    fired += refused
    # The participants are reachable, the database is not.
    node, other = await stage.two()
    node.participants["shipping"].delay_s = 1.0
    saga_ids = [await stage.load.start(node, stage.load.order()) for _ in range(10)]
    node.database.refusing = True
    node.database.cut()
    began = time.monotonic()
    await stage.ended(saga_ids, LEASE_TTL_S + 20)
    told.append(f"others ended its sagas {time.monotonic() - began:.1f} s after it lost the store")
    must(node.database.refused, "no connection to the database was refused")
    fired += node.database.refused
    with suppress(grpc.aio.AioRpcError):
        await stage.load.start(node, stage.load.order(), timeout_s=2)
    node.database.heal()
    return fired, "; ".join(told)


async def reuse_key(stage: Stage) -> str:
    """Sends another payload under the key of an action that is done; returns the answer."""
    node = stage.world.live[0]
    order = stage.load.order()
    saga_id = await stage.load.start(node, order)
    await stage.ended([saga_id], 20)
    request = ReserveRequest(order_id=order.order_id, warehouse_id="BER-1", lines=[StockLine(sku="MUG-00", quantity=9)])
    answer = await stage.forge(
        "inventory", "/inventory.v1.InventoryService/Reserve", request, f"{saga_id}/reserve/action", 1
    )
    if "KEY_REUSED" not in answer:
        stage.wrong(f"I2: another payload under the key of {saga_id}/reserve was answered {answer[:60]}")
    return answer
