"""Faults of processes: killed at every failpoint, frozen, stopped in the middle of steps."""

import asyncio
import signal
import time
from contextlib import suppress
from uuid import UUID

import grpc
from shipping.v1.shipping_pb2 import CancelShipmentRequest

from contracts.failpoints import PARTICIPANT_POINTS
from orchestrator.failpoints import POINTS as NODE_POINTS
from orchestrator.local.processes import ChildError
from tests.chaos.stage import NotFiredError, Stage, fault, must, stopped, until
from tests.chaos.world import LEASE_TTL_S, Actor

DEATH_S = 25.0
AT_START = ("store.register_node",)
AT_TAKEOVER = ("store.claim", "store.load", "store.fence_expired", "store.pending_requests")
SHORT_POINTS = 6
PIVOT_FAILS = ",".join(f"action.received=error@{hit}" for hit in (2, 3, 4))
"""In a payment service that serves one saga: it answers the authorisation, and no attempt of the capture."""


@fault("F1", "kill -9 at every failpoint, both sides", short=True)
async def kill_everywhere(stage: Stage) -> tuple[int, str]:
    nodes, participants = list(NODE_POINTS), list(PARTICIPANT_POINTS)
    if not stage.full:
        nodes = ["store.commit.before", "store.commit.after", *stage.world.draw.sample(nodes, SHORT_POINTS)]
        participants = stage.world.draw.sample(participants, SHORT_POINTS)
    for kill_at, points in ((kill_node_at, nodes), (kill_participant_at, participants)):
        for point in points:
            await kill_at(stage, point)
            stage.load.paused.clear()
    total = len(nodes) + len(participants)
    return (
        total,
        f"{len(nodes)} points of nodes, {len(participants)} of participants; each process was gone with SIGKILL",
    )


async def kill_node_at(stage: Stage, point: str) -> None:
    """Starts a node that dies at the point, and brings it there."""
    world = stage.world
    await world.heal(nodes=1)
    hit = 1 if point.startswith(("call.settle", *AT_START, *AT_TAKEOVER, "store.release")) else world.draw.randint(1, 4)
    victim = await world.prepare_node(failpoints=f"{point}=kill@{hit}")
    with suppress(ChildError, TimeoutError):
        await world.boot(victim)
    driving = asyncio.create_task(drive(stage, victim, point))
    try:
        if not await victim.died(DEATH_S):
            raise NotFiredError(f"no node was killed at {point}")
    finally:
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
    must([hit for hit in victim.fired() if hit["point"] == point], f"the failpoint {point} told nothing")


async def drive(stage: Stage, victim: Actor, point: str) -> None:
    """Makes a node do everything that it can."""
    world = stage.world
    if not victim.address:
        return
    if point.startswith(AT_TAKEOVER):
        for node in world.live:
            if node is not victim:
                with suppress(grpc.aio.AioRpcError):
                    await asyncio.gather(*(stage.load.start(node, stage.load.order()) for _ in range(5)))
                await node.child.kill()
        return
    if point.startswith("store.release"):
        victim.signal(signal.SIGTERM)
        return
    if point.startswith("call.settle"):
        await settle_once(stage, victim, "")
        return
    while victim.is_running:
        with suppress(grpc.aio.AioRpcError):
            order = stage.load.order(world.draw.choice(("", "undeliverable", "declined")))
            saga_id = await stage.load.start(victim, order)
            await stage.load.start(victim, order)
            await asyncio.gather(*(stage.load.start(victim, stage.load.order("undeliverable")) for _ in range(4)))
            if "add_request" in point:
                await stage.load.cancel(saga_id, 2)
        await asyncio.sleep(0.05)


async def settle_once(stage: Stage, node: Actor, armed: str) -> None:
    """Brings a saga to its pivot, whose outcome stays unknown, so that it must be settled."""
    await stage.quiet()  # and no caller starts another until the class goes on
    failpoints = ",".join(filter(None, (PIVOT_FAILS, armed)))
    await stage.world.restart_participant("payment", failpoints=failpoints)
    with suppress(grpc.aio.AioRpcError):
        await stage.load.start(node, stage.load.order(), ("fragile-order", 2))


async def kill_participant_at(stage: Stage, point: str) -> None:
    """Starts a participant that dies at the point, and brings it there."""
    world = stage.world
    await world.heal()
    if point.startswith("settle"):
        await settle_once(stage, world.live[-1], f"{point}=kill")
        name = "payment"
    else:
        compensates = point.startswith("compensation")
        name = world.draw.choice(("inventory", "payment") if compensates else ("inventory", "payment", "shipping"))
        await world.restart_participant(name, failpoints=f"{point}=kill@{world.draw.randint(1, 4)}")
        for _ in range(8):
            order = stage.load.order("undeliverable" if compensates else "")
            with suppress(grpc.aio.AioRpcError):
                await stage.load.start(world.live[-1], order)
    victim = world.participants[name]
    if not await victim.died(DEATH_S):
        raise NotFiredError(f"no participant was killed at {point}")
    must([hit for hit in victim.fired() if hit["point"] == point], f"the failpoint {point} told nothing")
    await world.start_participant(name)


@fault("F2", "a node frozen past its lease, then continued", short=True)
async def freeze_node(stage: Stage) -> tuple[int, str]:
    claimed = 0
    for _ in range(3 if stage.full else 1):
        zombie, other = await stage.two()
        former = zombie.node_id
        zombie.participants["shipping"].delay_s = 1.0
        saga_ids = [
            await stage.load.start(zombie, stage.load.order(), ("brisk-order", number % 2 + 1)) for number in range(12)
        ]
        await stopped(zombie)
        owned = await stage.owned_by(zombie, saga_ids)
        must(owned, "the node owned nothing when it was stopped")

        async def taken(zombie: Actor = zombie, saga_ids: list[str] = saga_ids) -> bool:
            return await stage.owned_by(zombie, saga_ids) == 0

        await until(taken, LEASE_TTL_S + 10, "the sagas of the frozen node were claimed")
        claimed += owned
        zombie.participants["shipping"].delay_s = 0
        await stage.ended(saga_ids, 40)
        zombie.signal(signal.SIGCONT)
        await forge_zombie_calls(stage, saga_ids)

        async def fenced(former: str = former) -> bool:
            rows = await stage.world.sql(
                "orchestrator", "SELECT fenced_at FROM node_fence WHERE node_id = $1", UUID(former)
            )
            return bool(rows and rows[0]["fenced_at"])

        await until(fenced, 10, "the frozen node was fenced")
        await stage.ended([await stage.load.start(other, stage.load.order())], 20)
    return claimed, f"{claimed} sagas claimed from a stopped process, which then went on"


async def forge_zombie_calls(stage: Stage, saga_ids: list[str]) -> None:
    """What a zombie may send at the worst moment: an undo of what another owner has carried to the end."""
    for saga_id in saga_ids:
        row = await stage.row(saga_id)
        barrier = await stage.barrier("shipping", saga_id, "ship")
        if row["state"] != 3 or barrier is None or barrier["epoch"] < 2:
            continue
        request = CancelShipmentRequest(order_id=row["request_id"])
        path = "/shipping.v1.ShippingService/CancelShipment"
        answer = await stage.forge("shipping", path, request, f"{saga_id}/ship/compensation", barrier["epoch"] - 1)
        if "STALE_EPOCH" not in answer:
            stage.wrong(f"I5: a zombie's undo under an older epoch was answered {answer[:80]}")


@fault("F9", "participant slow, or frozen", short=True)
async def freeze_participant(stage: Stage) -> tuple[int, str]:
    node, _ = await stage.two()
    world = stage.world
    fired, slowest = 0, 0.0
    for name in ("shipping", "payment") if stage.full else ("shipping",):
        frozen = world.participants[name]
        await stopped(frozen)
        waiting = [await stage.load.start(node, stage.load.order()) for _ in range(10)]
        if name == "shipping":
            others = [await stage.load.start(node, stage.load.order(), ("short-order", 1)) for _ in range(10)]
            slowest = await stage.ended(others, 20)
            if slowest > 5:
                stage.wrong(f"F9: sagas that do not call {name} took {slowest:.1f} s while it was frozen")
        await asyncio.sleep(6)  # longer than an attempt may take
        must(await stage.live_of(waiting), f"no saga waited for {name}")
        frozen.signal(signal.SIGCONT)
        await stage.ended(waiting, 40)
        fired += 1
    await world.restart_participant("payment", failpoints="action.handled=delay:1@*")
    slow = [await stage.load.start(node, stage.load.order()) for _ in range(5)]
    await stage.ended(slow, 40)
    fired += len(world.participants["payment"].fired())
    await world.restart_participant("payment")
    return fired, f"sagas of other participants ended within {slowest:.1f} s"


@fault("F25", "deploy: SIGTERM in the middle of steps", short=True)
async def stop_nodes(stage: Stage) -> tuple[int, str]:
    handed, slowest = 0, 0.0
    for _ in range(4 if stage.full else 1):
        leaving, _ = await stage.two()
        for node in stage.world.live:
            node.participants["shipping"].delay_s = 2.0
        saga_ids = [await stage.load.start(leaving, stage.load.order()) for _ in range(15)]
        leaving.signal(signal.SIGTERM)
        code = await leaving.child.wait(30)
        gone = time.monotonic()
        must(code == 0, f"the node ended with {code} after SIGTERM")
        before = await stage.world.sql(
            "orchestrator",
            "SELECT count(*) FROM saga_event WHERE saga_id = ANY ($1) AND kind = 2",
            [UUID(each) for each in saga_ids],
        )

        async def claimed(saga_ids: list[str] = saga_ids) -> bool:
            rows = await stage.world.sql(
                "orchestrator",
                "SELECT count(*) FROM saga WHERE saga_id = ANY ($1) AND owner IS NULL AND state IN (1, 2, 4)",
                [UUID(each) for each in saga_ids],
            )
            return bool(rows[0][0] == 0)

        await until(claimed, LEASE_TTL_S + 10, "the sagas handed over were claimed")
        slowest = max(slowest, time.monotonic() - gone)
        if slowest > LEASE_TTL_S:
            stage.wrong(f"F25: a hand-over took {slowest:.1f} s, longer than the lease")
        for node in stage.world.live:
            node.participants["shipping"].delay_s = 0
        await stage.ended(saga_ids, 40)
        rows = await stage.world.sql(
            "orchestrator",
            "SELECT count(DISTINCT saga_id) FROM saga_event WHERE saga_id = ANY ($1) AND kind = 2",
            [UUID(each) for each in saga_ids],
        )
        handed += rows[0][0]
        must(rows[0][0] and before is not None, "no saga was under way at SIGTERM")
    return handed, f"{handed} sagas handed over, the slowest {slowest:.2f} s after its node had gone"
