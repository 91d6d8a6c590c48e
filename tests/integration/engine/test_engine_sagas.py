"""Sagas run to their ends, and nothing begins before what it depends on is durable."""

import asyncio

from inventory.v1.inventory_pb2 import ReserveResponse
from payment.v1.payment_pb2 import ChargeResponse
from saga.v1 import event_pb2
from shipping.v1.shipping_pb2 import CreateShipmentRequest, CreateShipmentResponse

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import Answer
from tests.fixtures.postgres import connect
from tests.integration.engine.harness import Rig, until
from tests.integration.engine.played import REJECTED, UNAVAILABLE, Seen

LINE = ["reserve/action", "charge/action", "ship/action"]


async def test_a_line_of_steps_ends_with_its_result(rig: Rig) -> None:
    node = await rig.node()
    rig.world.answers = {
        "reserve/action": Answer(0, ReserveResponse(reservation_id="r-1").SerializeToString()),
        "charge/action": Answer(0, ChargeResponse(payment_id="p-1").SerializeToString()),
        "ship/action": Answer(0, CreateShipmentResponse(shipment_id="s-1").SerializeToString()),
    }
    saga_id = await node.start(order_id="o-1")
    standing = await node.engine.wait(saga_id, 10)
    assert standing is not None
    assert standing.status is SagaStatus.COMPLETED
    assert standing.result == ReserveResponse(reservation_id="r-1 s-1")
    assert rig.world.keys() == LINE
    assert CreateShipmentRequest.FromString(rig.world.calls[2].request).warehouse_id == "p-1"
    await rig.check_explained(saga_id)


async def test_parallel_steps_are_under_way_together(rig: Rig) -> None:
    node = await rig.node()
    rig.world.gates = {"left/action": asyncio.Event(), "right/action": asyncio.Event()}
    saga_id = await node.start("fan")
    await until(lambda: rig.world.running == 2)
    for gate in rig.world.gates.values():
        gate.set()
    await node.ends(saga_id)
    await rig.check_explained(saga_id)


async def test_a_rejection_undoes_what_was_done_in_reverse_order(rig: Rig) -> None:
    node = await rig.node()
    rig.world.answers["ship/action"] = REJECTED
    saga_id = await node.start()
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert rig.world.keys() == [*LINE, "charge/compensation", "reserve/compensation"]
    state = await rig.check_explained(saga_id)
    assert state.failure is not None
    assert state.failure.reason == "OUT_OF_STOCK"


async def test_a_spent_budget_is_undone_too(rig: Rig) -> None:
    node = await rig.node()
    rig.world.answers["ship/action"] = UNAVAILABLE
    saga_id = await node.start()
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert rig.world.count("ship/action") == 4
    assert [seen.attempt for seen in rig.world.calls if seen.key == "ship/action"] == [1, 2, 3, 4]
    assert rig.world.count("ship/compensation") == 1
    await rig.check_explained(saga_id)


async def test_a_lost_pivot_is_settled(rig: Rig) -> None:
    node = await rig.node()
    rig.world.answers["capture/action"] = UNAVAILABLE
    saga_id = await node.start("pivoted")
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert rig.world.keys()[-2:] == ["capture/settle", "authorize/compensation"]
    await rig.check_explained(saga_id)


async def test_nothing_begins_before_what_it_depends_on_is_durable(rig: Rig) -> None:
    """Read over a connection of the test's own, at the moment of the call."""
    node = await rig.node()
    needed = {
        "reserve/action": {event_pb2.EVENT_TYPE_SAGA_STARTED: 1},
        "charge/action": {event_pb2.EVENT_TYPE_STEP_SUCCEEDED: 1},
        "ship/action": {event_pb2.EVENT_TYPE_STEP_SUCCEEDED: 2},
        "charge/compensation": {event_pb2.EVENT_TYPE_COMPENSATION_STARTED: 1, event_pb2.EVENT_TYPE_STEP_REJECTED: 1},
        "reserve/compensation": {event_pb2.EVENT_TYPE_STEP_COMPENSATED: 1},
        "authorize/action": {event_pb2.EVENT_TYPE_SAGA_STARTED: 1},
        "capture/action": {event_pb2.EVENT_TYPE_STEP_INTENDED: 1, event_pb2.EVENT_TYPE_STEP_SUCCEEDED: 1},
        "confirm/action": {event_pb2.EVENT_TYPE_STEP_SUCCEEDED: 2},
    }
    early: list[str] = []
    turn = asyncio.Lock()
    past = await connect(rig.url)

    async def look(seen: Seen) -> None:
        async with turn:
            rows = await past.fetch("SELECT kind FROM saga_event WHERE saga_id = $1::text::uuid", seen.saga_id)
        kinds = [row["kind"] for row in rows]
        if any(kinds.count(kind) < count for kind, count in needed[seen.key].items()):
            early.append(f"{seen.key} after {kinds}")

    rig.world.before = look
    rig.world.answers["ship/action"] = REJECTED
    undone = [await node.start() for _ in range(5)]
    done = [await node.start("pivoted") for _ in range(5)]
    for saga_id in undone:
        await node.ends(saga_id, SagaStatus.COMPENSATED)
    for saga_id in done:
        await node.ends(saga_id)
    await past.close()
    assert not early
    assert set(rig.world.keys()) == set(needed)


async def test_one_commit_for_each_level_of_the_graph(rig: Rig) -> None:
    node = await rig.node()
    saga_id = await node.start()
    await node.ends(saga_id)
    assert [len(batch.new) + len(batch.checkpoints) for batch in node.store.commits] == [1, 1, 1, 1]
    assert [entry.kind for batch in node.store.commits[-1:] for entry in batch.checkpoints[0].entries] == [
        event_pb2.EVENT_TYPE_STEP_SUCCEEDED,
        event_pb2.EVENT_TYPE_SAGA_COMPLETED,
    ]


async def test_many_sagas_share_commits_and_leave_nothing_behind(rig: Rig) -> None:
    node = await rig.node()
    count = 1000
    saga_ids = await asyncio.gather(*(node.start("line" if i % 2 else "fan") for i in range(count)))
    for saga_id in saga_ids:
        await node.ends(saga_id)
    items = sum(len(batch.new) + len(batch.checkpoints) for batch in node.store.commits)
    assert items >= 3 * count
    assert len(node.store.commits) < items / 10
    await until(lambda: not any(node.held().values()), f"{node.held()}")
    assert len(rig.world.calls) == 3 * count
