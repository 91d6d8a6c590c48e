"""Faults that come with sagas and callers: poison, missing definitions, undos that fail, hostile input."""

import asyncio
import json
import random
import struct
from contextlib import suppress
from typing import Any

import grpc
import psutil
from saga.v1.saga_service_pb2 import GetSagaRequest, StartSagaRequest

from orchestrator.local.processes import ChildError
from tests.chaos.stage import Stage, fault, must, until
from tests.chaos.world import NODE_SETTINGS

STUCK = 6
WITH_LATER = {
    "ORCHESTRATOR_DEFINITIONS": json.dumps(
        [*json.loads(NODE_SETTINGS["ORCHESTRATOR_DEFINITIONS"]), "chaos_sagas.later"]
    )
}
WITH_CHANGED = {"ORCHESTRATOR_DEFINITIONS": '["orchestrator.definitions.shipped", "chaos_sagas.later_changed"]'}
CLEAN = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
}
FUZZ_BYTES = 512 * 1024 * 1024
"""How much a server may grow while it is fuzzed."""


@fault("F18", "poison saga: its builder raises", short=True)
async def poison(stage: Stage) -> tuple[int, str]:
    node, other = await stage.two()
    poisoned = [await stage.load.start(node, stage.load.order(customer="POISON")) for _ in range(8)]
    good = [await stage.load.start(node, stage.load.order()) for _ in range(8)]
    await stage.ended([*poisoned, *good], 30)
    for saga_id in poisoned:
        row = await stage.row(saga_id)
        if row["state"] != STUCK or not row["failure_reason"]:
            stage.wrong(f"F18: saga {saga_id} whose builder raises is in state {row['state']}: {row['failure_reason']}")
    must(other.is_running and node.is_running, "a node ended of it")
    reasons = {(await stage.row(saga_id))["failure_reason"] for saga_id in poisoned}
    return len(poisoned), f"{len(poisoned)} sagas stuck with {reasons}, {len(good)} others ended"


@fault("F19", "definition changed or missing while sagas are in flight", short=True)
async def miss_definition(stage: Stage) -> tuple[int, str]:
    world = stage.world
    await world.heal()
    bearer = await world.start_node(WITH_LATER)
    bearer.participants["payment"].refusing = True
    bearer.participants["payment"].cut()
    saga_ids = [await stage.load.start(bearer, stage.load.order(), ("later-order", 1)) for _ in range(8)]

    async def reserved() -> bool:
        return all([await stage.barrier("inventory", saga_id, "reserve") for saga_id in saga_ids])

    await until(reserved, 15, "the first step had run")
    await bearer.child.stop(20)
    await asyncio.sleep(2)  # the others look every second
    owners = [(await stage.row(saga_id))["owner"] for saga_id in saga_ids]
    must(await stage.live_of(saga_ids) == len(saga_ids), "the sagas ended without their definition")
    if any(owners):
        stage.wrong(f"F19: {len([each for each in owners if each])} sagas are owned by nodes without their definition")
    told = (await stage.load.sagas_at(world.live[0]).GetSaga(GetSagaRequest(saga_id=saga_ids[0]), timeout=5)).saga
    if "later-order" not in told.blocked_reason:
        stage.wrong(f"F19: the API says {told.blocked_reason!r} of a saga whose definition is missing")
    changed = await world.prepare_node(WITH_CHANGED)
    with suppress(ChildError):
        await world.boot(changed)
    code = await changed.child.wait(20) if changed.child.is_running() else 3
    must(not changed.is_running and "later-order" in changed.child.log.read_text(), "a changed definition was taken")
    again = await world.start_node(WITH_LATER)
    took = await stage.ended(saga_ids, 40)
    await again.child.stop(20)
    return len(
        saga_ids
    ) + 1, f"{len(saga_ids)} sagas waited, named; a changed one was refused ({code}); ended {took:.1f} s after"


@fault("F22", "a compensation that keeps failing", short=True)
async def fail_compensations(stage: Stage) -> tuple[int, str]:
    world = stage.world
    node, _ = await stage.two()
    name = world.draw.choice(("inventory", "payment"))
    actor = await world.restart_participant(name, failpoints="compensation.received=error@*")
    before = len(actor.fired())
    orders = [stage.load.order("undeliverable") for _ in range(8)]
    saga_ids = [await stage.load.start(node, order, ("fragile-order", 1)) for order in orders]
    await stage.ended(saga_ids, 40)
    fired = len(actor.fired()) - before
    must(fired, "no compensation failed")
    for saga_id in saga_ids:
        row = await stage.row(saga_id)
        if row["state"] != STUCK:
            stage.wrong(f"F22: saga {saga_id} whose undo fails is in state {row['state']}")
    await world.restart_participant(name)
    return fired, f"{fired} undos failed at {name}; {len(saga_ids)} sagas STUCK, none called compensated"


@fault("F23", "oversize, malformed, deeply nested, hostile requests", short=True)
async def fuzz(stage: Stage) -> tuple[int, str]:
    node, _ = await stage.two()
    world, draw = stage.world, stage.world.draw
    rounds = 400 if stage.full else 60
    servers = {
        node.address: (node, ["/saga.v1.SagaService/StartSaga", "/orders.v1.OrderService/PlaceOrder"]),
        world.participants["inventory"].address: (
            world.participants["inventory"],
            ["/inventory.v1.InventoryService/Reserve"],
        ),
    }
    sent = broken = 0
    for address, (actor, paths) in servers.items():
        before = psutil.Process(actor.child.pid).memory_info().rss
        async with grpc.aio.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
            for number in range(rounds):
                payload = hostile(draw, number)
                try:
                    call: Any = channel.unary_unary(draw.choice(paths))
                    await call(payload, timeout=20)
                    stage.wrong(f"F23: a hostile request of {len(payload)} bytes was answered OK")
                except grpc.aio.AioRpcError as error:
                    if error.code() not in CLEAN:
                        stage.wrong(f"F23: a hostile request was answered {error.code().name} {error.details()}"[:160])
                sent += 1
        for _ in range(rounds // 4):
            broken += await raw_bytes(
                address, draw.randbytes(draw.choice((1, 24, 4096))), preface=bool(draw.getrandbits(1))
            )
        grown = psutil.Process(actor.child.pid).memory_info().rss - before
        if grown > FUZZ_BYTES:
            stage.wrong(f"F23: {actor.name} grew by {grown >> 20} MiB")
        must(actor.is_running, f"{actor.name} ended")
    await stage.ended([await stage.load.place(stage.load.order())], 20)
    return sent + broken, f"{sent} hostile messages and {broken} broken connections"


def hostile(draw: random.Random, number: int) -> bytes:
    """A message that no server may take."""
    kind = number % 5
    if kind == 0:
        return draw.randbytes(draw.randint(1, 2000)) + b"\xff"
    if kind == 1:
        return StartSagaRequest(
            request_id="x" * 20, definition="place-order", input=b"\0" * (3 << 20)
        ).SerializeToString()
    if kind == 2:
        nested = b""
        for _ in range(2000):
            nested = b"\x0a" + varint(len(nested)) + nested
        return nested
    if kind == 3:
        return StartSagaRequest(request_id="r", definition="no-such-saga", input=b"\x08\x01").SerializeToString()
    return b"\x0a" + varint(1 << 40) + b"a"


def varint(number: int) -> bytes:
    """As protobuf writes it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


async def raw_bytes(address: str, noise: bytes, *, preface: bool) -> int:
    """Speaks no HTTP/2, or only its beginning; returns 1 once the server has closed or 0.3 s have passed."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    frame = struct.pack(">I", 0xFFFFFF)[1:] + b"\x00\x00\x00\x00\x00\x01"
    writer.write((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame if preface else b"") + noise)
    with suppress(OSError, TimeoutError):
        await writer.drain()
        while await asyncio.wait_for(reader.read(65536), 0.3):
            pass
    writer.transport.abort()
    return 1
