"""One participant's trouble stays in its lane: caps, breakers and holds, on the real store."""

import asyncio
from typing import Any
from uuid import UUID

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.state import SagaStatus
from orchestrator.engine.admission import AdmissionPolicy
from orchestrator.engine.breakers import BreakerPolicy, BreakerState
from orchestrator.engine.lanes import LanePolicy, ParticipantStatus
from orchestrator.engine.ports import Answer
from tests.integration.engine.harness import Node, Rig, until
from tests.integration.engine.played import OK, UNAVAILABLE, Seen
from tests.integration.engine.sagas import QUICK

INVENTORY = "inventory.v1.InventoryService"
PAYMENT = "payment.v1.PaymentService"
SHIPPING = "shipping.v1.ShippingService"
BREAKER = BreakerPolicy(min_calls=4, open_s=0.05, max_open_s=0.1)
LONG: dict[str, Any] = {"core": CorePolicy(blocked_retry_s=600.0), "park_after_s": 3600.0}
"""A blocked step's own timer does not come due in a test."""


def status(node: Node, service: str) -> ParticipantStatus:
    (found,) = [each for each in node.engine.participants() if each.service == service]
    return found


def is_blocked(node: Node, saga_id: UUID) -> bool:
    return any(step.blocked for step in node.engine._dispatcher.runs[saga_id].state.steps)


async def all_end(node: Node, saga_ids: list[UUID], state: SagaStatus = SagaStatus.COMPLETED) -> None:
    for saga_id in saga_ids:
        await node.ends(saga_id, state)


def gate(rig: Rig, key: str) -> None:
    """Calls of ``step/phase`` wait until the test lets them go."""
    rig.world.gates[key] = asyncio.Event()


async def test_calls_beyond_the_cap_wait_their_turn_and_spend_nothing(rig: Rig) -> None:
    node = await rig.node(lanes=LanePolicy(max_calls=2))
    gate(rig, "charge/action")
    saga_ids = [await node.start() for _ in range(6)]
    await until(lambda: status(node, PAYMENT).queued == 4)
    assert (status(node, PAYMENT).in_flight, rig.world.count("charge/action")) == (2, 2)
    other = await node.start("single")
    await node.ends(other)
    rig.world.gates["charge/action"].set()
    await all_end(node, saga_ids)
    charged = [seen.saga_id for seen in rig.world.calls if seen.key == "charge/action"]
    assert charged == [str(saga_id) for saga_id in saga_ids], "first come, first served"
    for saga_id in saga_ids:
        state = await rig.check_explained(saga_id)
        assert [step.attempts for step in state.steps] == [1, 1, 1]
    assert node.held()["queued"] == 0


async def test_a_queued_call_is_taken_back_when_its_saga_is_cancelled(rig: Rig) -> None:
    node = await rig.node(lanes=LanePolicy(max_calls=1))
    gate(rig, "charge/action")
    first, second = await node.start(), await node.start()
    await until(lambda: status(node, PAYMENT).queued == 1)
    assert await node.engine.cancel(second, caller="local", request_id="c", timeout_s=10) is None
    await until(lambda: rig.world.keys(second) == ["reserve/action"])
    rig.world.gates["charge/action"].set()
    await node.ends(second, SagaStatus.COMPENSATED)
    await node.ends(first)
    assert "charge/action" not in rig.world.keys(second)


async def test_a_handler_that_fails_in_words_is_not_away(rig: Rig) -> None:
    """Else the first tries of a burst, all of which fail, would have the repetitions wait that find the work done."""
    node = await rig.node(lanes=LanePolicy(breaker=BREAKER), **LONG)
    failed = Answer(14, reason="INTERNAL", domain="saga.v1", message="after the work")
    rig.world.answers["ship/action"] = lambda seen: failed if seen.attempt == 1 else OK
    gate(rig, "ship/action")
    saga_ids = [await node.start() for _ in range(2 * BREAKER.min_calls)]
    await until(lambda: rig.world.count("ship/action") == len(saga_ids))
    rig.world.gates["ship/action"].set()  # all first tries fail at once
    await all_end(node, saga_ids)
    assert status(node, SHIPPING).opens == 0
    assert rig.world.count("ship/action") == 2 * len(saga_ids)


async def test_a_breaker_blocks_what_needs_the_participant_and_nothing_else(rig: Rig) -> None:
    node = await rig.node(lanes=LanePolicy(breaker=BREAKER), **LONG)
    rig.world.answers["ship/action"] = UNAVAILABLE
    saga_ids = [await node.start() for _ in range(8)]
    await until(lambda: status(node, SHIPPING).opens == 1)
    assert status(node, SHIPPING).recent_calls >= BREAKER.min_calls
    await until(lambda: sum(is_blocked(node, saga_id) for saga_id in saga_ids) >= 5)
    await node.ends(await node.start("single"))
    row = (await rig.stored(next(s for s in saga_ids if is_blocked(node, s)))).row
    assert row.blocked_reason is not None
    assert row.blocked_reason.startswith(f"BREAKER_OPEN: {SHIPPING}")
    spent = rig.world.count("ship/action")
    assert spent < 8 * 4, "the budgets of all sagas would be spent without it"
    rig.world.answers.clear()
    await all_end(node, saga_ids)
    assert status(node, SHIPPING).breaker is BreakerState.CLOSED
    assert node.held()["queued"] == 0


async def test_the_participant_that_is_back_is_not_overrun(rig: Rig) -> None:
    node = await rig.node(lanes=LanePolicy(breaker=BREAKER), **LONG)
    node.engine.hold(SHIPPING)
    saga_ids = [await node.start() for _ in range(30)]
    await until(lambda: status(node, SHIPPING).blocked == 30)
    assert rig.world.count("ship/action") == 0
    gate(rig, "ship/action")
    node.engine.release(SHIPPING)
    await until(lambda: rig.world.count("ship/action") == BREAKER.probes)
    assert (status(node, SHIPPING).in_flight, status(node, SHIPPING).blocked) == (3, 27)
    rig.world.gates["ship/action"].set()
    await all_end(node, saga_ids)


async def test_the_deadline_of_a_blocked_saga_holds(rig: Rig) -> None:
    node = await rig.node(lanes=LanePolicy(breaker=BREAKER), **LONG)
    node.engine.hold(INVENTORY)
    saga_id = await node.start("brief")
    await until(lambda: is_blocked(node, saga_id))
    await until(lambda: node.engine._dispatcher.runs[saga_id].durable_status is SagaStatus.COMPENSATING)
    await until(lambda: is_blocked(node, saga_id), "its undo waits too")
    node.engine.release(INVENTORY)
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert rig.world.keys(saga_id) == ["grab/compensation"]


async def test_a_blocked_saga_can_be_cancelled(rig: Rig) -> None:
    node = await rig.node(lanes=LanePolicy(breaker=BREAKER), **LONG)
    node.engine.hold(SHIPPING)
    saga_id = await node.start()
    await until(lambda: is_blocked(node, saga_id))
    assert await node.engine.cancel(saga_id, caller="local", request_id="c", timeout_s=10) is None
    node.engine.release(SHIPPING)
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert "ship/action" not in rig.world.keys(saga_id)


async def test_a_pivot_is_settled_once_its_participant_is_back(rig: Rig) -> None:
    node = await rig.node(**LONG)

    def last_attempt(seen: Seen) -> Answer:
        if seen.attempt == QUICK.max_attempts:
            node.engine.hold(PAYMENT)
        return UNAVAILABLE

    rig.world.answers["capture/action"] = last_attempt
    saga_id = await node.start("pivoted")
    await until(lambda: is_blocked(node, saga_id))
    assert rig.world.count("capture/settle") == 0
    rig.world.answers.clear()
    node.engine.release(PAYMENT)
    await until(lambda: node.held()["runs"] == 0)
    await rig.check_explained(saga_id)


async def test_in_a_crowded_memory_the_blocked_make_room_and_come_back(rig: Rig) -> None:
    node = await rig.node(admission=AdmissionPolicy(max_sagas=4), core=CorePolicy(blocked_retry_s=3.0))
    node.engine.hold(INVENTORY)
    saga_ids = [await node.start() for _ in range(3)]
    await until(lambda: len(node.engine._dispatcher.runs) <= 2, "they leave")
    node.engine.release(INVENTORY)
    await all_end(node, saga_ids)
    assert node.held()["queued"] == 0
