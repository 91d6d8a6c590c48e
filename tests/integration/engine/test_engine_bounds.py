"""How much one saga may hold: what does not fit stops it in words, and what happened is not forgotten."""

import asyncio
from uuid import UUID

import pytest
from inventory.v1.inventory_pb2 import ReserveResponse
from payment.v1.payment_pb2 import CaptureResponse, ChargeResponse

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.state import SagaState, SagaStatus, StepStatus
from orchestrator.engine.ports import Answer
from orchestrator.engine.run import ENTRY_BYTES
from tests.integration.engine.harness import Node, Rig, until
from tests.integration.engine.played import REJECTED

BOUND = 20_000
TOO_LARGE = Answer(2, message="larger than max", reason="MESSAGE_TOO_LARGE", domain="saga.v1", is_too_large=True)


async def a_node(rig: Rig) -> Node:
    return await rig.node(core=CorePolicy(max_saga_bytes=BOUND))


async def stuck(rig: Rig, node: Node, saga_id: UUID, reason: str) -> SagaState:
    await node.ends(saga_id, SagaStatus.STUCK)
    state = await rig.check_explained(saga_id)
    assert state.failure is not None
    assert state.failure.reason == reason
    return state


async def size(rig: Rig, saga_id: UUID) -> int:
    stored = await rig.stored(saga_id)
    return len(stored.input) + sum(len(entry.attributes) + ENTRY_BYTES for entry in stored.journal)


async def test_a_response_that_does_not_fit_stops_the_saga_and_the_step_is_known_to_have_run(rig: Rig) -> None:
    node = await a_node(rig)
    rig.world.answers = {
        "reserve/action": Answer(0, ReserveResponse(reservation_id="r" * 12_000).SerializeToString()),
        "charge/action": Answer(0, ChargeResponse(payment_id="p" * 12_000).SerializeToString()),
    }
    saga_id = await node.start()
    state = await stuck(rig, node, saga_id, "SAGA_TOO_LARGE")
    assert state.failure is not None
    assert "ORCHESTRATOR_MAX_SAGA_BYTES" in state.failure.message
    assert [step.status for step in state.steps] == [StepStatus.SUCCEEDED, StepStatus.STUCK, StepStatus.PENDING]
    assert (state.steps[1].attempts, state.steps[1].had_unknown) == (1, True)
    assert rig.world.keys() == ["reserve/action", "charge/action"], "it is not asked again for the same"
    assert await size(rig, saga_id) < BOUND


async def test_a_pivot_whose_response_does_not_fit_is_past_and_not_settled(rig: Rig) -> None:
    node = await a_node(rig)
    rig.world.answers["capture/action"] = Answer(0, CaptureResponse(capture_id="c" * BOUND).SerializeToString())
    state = await stuck(rig, node, await node.start("pivoted"), "SAGA_TOO_LARGE")
    assert state.stuck_from is SagaStatus.RUNNING
    assert rig.world.keys() == ["authorize/action", "capture/action"]


@pytest.mark.parametrize("step", ["reserve/action", "capture/action"])
async def test_a_response_that_the_transport_dropped_stops_the_saga_at_once(rig: Rig, step: str) -> None:
    node = await a_node(rig)
    rig.world.answers[step] = TOO_LARGE
    saga_id = await node.start("line" if step == "reserve/action" else "pivoted")
    await stuck(rig, node, saga_id, "RESPONSE_TOO_LARGE")
    assert rig.world.count(step) == 1


async def test_a_compensation_whose_response_was_dropped_stops_the_saga_too(rig: Rig) -> None:
    node = await a_node(rig)
    rig.world.answers = {"ship/action": REJECTED, "charge/compensation": TOO_LARGE}
    saga_id = await node.start()
    state = await stuck(rig, node, saga_id, "RESPONSE_TOO_LARGE")
    assert state.steps[1].compensation_attempts == 1


async def test_a_journal_that_is_full_ends_the_retries_and_leaves_room_for_the_way_back(rig: Rig) -> None:
    node = await rig.node(core=CorePolicy(max_saga_bytes=2_000))
    rig.world.answers["charge/action"] = Answer(14, message="x" * 900, retry_delay_s=0.0)  # spends no attempts
    saga_id = await node.start()
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    await rig.check_explained(saga_id)
    assert rig.world.count("charge/action") <= 4
    assert rig.world.keys(saga_id)[-2:] == ["charge/compensation", "reserve/compensation"]


async def test_what_a_saga_holds_is_known_again_after_a_takeover(rig: Rig) -> None:
    first = await a_node(rig)
    rig.world.answers = {
        "reserve/action": Answer(0, ReserveResponse(reservation_id="r" * 12_000).SerializeToString()),
        "charge/action": Answer(0, ChargeResponse(payment_id="p" * 12_000).SerializeToString()),
    }
    rig.world.gates["charge/action"] = asyncio.Event()
    saga_id = await first.start()
    await until(lambda: rig.world.count("charge/action") == 1)
    await rig.kill(first)
    rig.world.gates["charge/action"].set()
    await stuck(rig, await a_node(rig), saga_id, "SAGA_TOO_LARGE")
