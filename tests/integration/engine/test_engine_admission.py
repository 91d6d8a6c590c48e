"""What a node takes on, on the real store."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from orchestrator.engine.admission import AdmissionPolicy
from orchestrator.engine.api import OverCapacity
from orchestrator.engine.lanes import LanePolicy
from orchestrator.engine.ports import Started
from tests.integration.engine.harness import Node, Rig, until


async def gated(rig: Rig, key: str, **settings: Any) -> Node:
    """A node whose calls of ``step/phase`` wait until the test lets them go."""
    rig.world.gates[key] = asyncio.Event()
    return await rig.node(**settings)


async def test_a_caller_has_so_many_sagas_in_memory_and_no_more(rig: Rig) -> None:
    node = await gated(rig, "reserve/action", admission=AdmissionPolicy(max_sagas_per_caller=2))
    saga_ids = [await node.start() for _ in range(2)]
    with pytest.raises(OverCapacity) as refused:
        await node.start()
    assert refused.value.retry_delay_s > 0
    assert node.engine.turn_away("local") is not None
    assert node.engine.turn_away("another") is None
    rig.world.gates["reserve/action"].set()
    for saga_id in saga_ids:
        await node.ends(saga_id)
    await until(lambda: not node.held()["runs"])
    assert node.engine.turn_away("local") is None
    await node.ends(await node.start())


async def test_no_saga_is_started_whose_participant_has_a_long_queue(rig: Rig) -> None:
    node = await gated(rig, "charge/action", lanes=LanePolicy(max_calls=1, max_queued=2))
    saga_ids = [await node.start() for _ in range(3)]
    await until(lambda: node.held()["queued"] == 2)
    for name in ("line", "fan", "pivoted"):
        with pytest.raises(OverCapacity):
            await node.start(name)
    await node.ends(await node.start("single"))
    rig.world.gates["charge/action"].set()
    for saga_id in saga_ids:
        await node.ends(saga_id)
    await node.ends(await node.start())


async def test_a_request_whose_saga_is_in_memory_is_known_without_the_store(rig: Rig) -> None:
    node = await gated(rig, "reserve/action", admission=AdmissionPolicy(max_sagas_per_caller=1))
    saga_id = await node.start(request_id="r", order_id="o")
    assert node.engine.knows("local", "r")
    assert not node.engine.knows("another", "r")
    again = await node.try_start(request_id="r", order_id="o", warehouse_id=_warehouse(rig, saga_id))
    assert again == Started(saga_id, already_started=True), "though the caller may start no more"
    assert await node.try_start(request_id="r", order_id="other") == Started(saga_id, conflict="request_id")
    rig.world.gates["reserve/action"].set()
    await node.ends(saga_id)
    await until(lambda: not node.engine.knows("local", "r"))
    assert not node.engine._starter._live
    assert not node.engine._starter._keys
    assert not node.engine._starter._waiting


async def test_a_node_without_a_store_says_so_and_not_that_it_is_full(rig: Rig) -> None:
    node = await gated(rig, "reserve/action", admission=AdmissionPolicy(max_sagas_per_caller=1))
    await node.start()
    assert node.engine.turn_away("local") is not None
    node.engine._writer.store_answers = False
    assert node.engine.turn_away("local") is None
    node.engine._writer.store_answers = True


def _warehouse(rig: Rig, saga_id: UUID) -> str:
    """The harness numbers warehouses; a repeat must say the same."""
    run = rig.nodes[0].engine._dispatcher.runs[saga_id]
    return str(run.input.warehouse_id)  # type: ignore[attr-defined]  # a ReserveRequest
