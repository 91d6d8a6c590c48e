"""A user's own definitions: absent, changed, upgraded one node at a time, faulty, and deadly to their node."""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from saga.v1.event_pb2 import EVENT_TYPE_STEP_SUCCEEDED, SagaEvent
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED, SAGA_STATE_RUNNING, SAGA_STATE_STUCK, Saga

from orchestrator.local.orders import Order
from orchestrator.local.processes import ChildError
from orchestrator.local.stack import Member, StackSettings
from tests.system.harness import LIVE, Shop, check_fencing, claims, frozen, log_lines, report, until
from tests.system.orders import start_request

PACKAGES = Path(__file__).with_name("packages")
SHIPPED = "orchestrator.definitions.shipped"
MAX_STALE_CLAIMS = 4
LEASE_TTL_S = 2.0

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stack_settings() -> StackSettings:
    """No node yet; short leases, for nodes die often here."""
    return StackSettings(
        nodes=0,
        node_environment={
            "PYTHONPATH": os.pathsep.join([str(PACKAGES), *map(os.path.abspath, filter(None, sys.path))]),
            "ORCHESTRATOR_LEASE_TTL_S": f"{LEASE_TTL_S:g}",
            "ORCHESTRATOR_RENEW_INTERVAL_S": "0.5",
            "ORCHESTRATOR_STATEMENT_TIMEOUT_S": "1",
            "ORCHESTRATOR_COMMAND_TIMEOUT_S": "1.5",
            "ORCHESTRATOR_MAX_STALE_CLAIMS": f"{MAX_STALE_CLAIMS}",
        },
    )


async def start_node(shop: Shop, name: str, *modules: str) -> Member:
    """A node with the shipped definitions and these modules of the package."""
    names = [SHIPPED, *(f"parcels.{module}" for module in modules)]
    return await shop.start_node(name, {"ORCHESTRATOR_DEFINITIONS": json.dumps(names)})


async def stop_all(shop: Shop) -> None:
    await asyncio.gather(*(node.child.stop(20) for node in shop.live_nodes))


def succeeded(journal: list[SagaEvent]) -> list[str]:
    """The steps in the order in which they went through."""
    return [event.step_succeeded.step for event in journal if event.type == EVENT_TYPE_STEP_SUCCEEDED]


def waits_for_shipping(saga: Saga) -> bool:
    return saga.last_seq >= 3


async def test_an_upgrade_node_by_node_and_a_definition_that_goes_missing(shop: Shop) -> None:
    old = await start_node(shop, "old", "v1")
    new = await start_node(shop, "new", "v1", "v2")
    first = shop.new_orders(6, versions=(1,), faults=("",))
    second = shop.new_orders(6, versions=(1,), faults=("",))  # to the sums, v2 of a parcel is like v1 of an order
    with frozen(shop.stack.participants["shipping"].child):
        v1 = await shop.start(old, first[:3], "parcel") + await shop.start(new, first[3:], "parcel")
        v2 = await shop.start(new, [Order(2, order.request) for order in second], "parcel")
        await shop.until_all(old, [*v1, *v2], waits_for_shipping, 20, "waiting for shipping")
        await new.child.kill()

    # The old node takes over what it knows, and nothing else.
    assert await shop.until_ended(old, v1, 30) == {SAGA_STATE_COMPLETED: 6}

    def is_blocked(saga: Saga) -> bool:
        return saga.state == SAGA_STATE_RUNNING and not saga.owner_node_id and "parcel v2" in saga.blocked_reason

    await shop.until_all(old, v2, is_blocked, 20, "blocked")

    assert (await shop.saga(old, v2[0])).blocked_reason == "definition parcel v2 is loaded by no live node"
    before = await shop.journals(old, v2)

    # Nor does it when it is started anew; a node that has the definition goes on where they stood.
    await old.child.stop(20)
    old = await start_node(shop, "old", "v1")
    await shop.until_all(old, v2, is_blocked, 20, "blocked")
    assert await shop.journals(old, v2) == before

    async def is_logged() -> bool:
        lines = [line for line in log_lines(old.child) if line["event"] == "definition_missing"]
        return any((line["definition"], line["version"]) == ("parcel", 2) for line in lines)

    await until(is_logged, 40, "the missing definition in the log")
    await start_node(shop, "newer", "v2")
    assert await shop.until_ended(old, v2, 30) == {SAGA_STATE_COMPLETED: 6}
    for saga_id, journal in (await shop.journals(old, [*v1, *v2])).items():
        check_fencing(journal)
        expected = ["reserve", "charge", "ship"] if saga_id in v1 else ["charge", "reserve", "ship"]
        assert succeeded(journal) == expected
        assert journal[: len(before.get(saga_id, []))] == before.get(saga_id, [])
    await shop.check_sums(old)
    await stop_all(shop)


async def test_a_definition_changed_under_its_version_is_refused(shop: Shop) -> None:
    node = await start_node(shop, "unchanged", "v1")
    with pytest.raises(ChildError):
        await start_node(shop, "changed", "v1_changed")
    changed = shop.stack.nodes[-1].child
    assert await changed.wait(20) == 3
    said = changed.log.read_text()
    assert "parcel v1" in said
    assert "digest" in said
    (saga_id,) = await shop.start(node, shop.new_orders(1, versions=(1,), faults=("",)), "parcel")
    assert await shop.until_ended(node, [saga_id], 20) == {SAGA_STATE_COMPLETED: 1}
    await stop_all(shop)


def hazard(shop: Shop, customer_id: str) -> Order:
    """An order that its builder cannot take."""
    (order,) = shop.new_orders(1, versions=(1,), faults=("",))
    order.request.customer_id = customer_id
    return order


async def test_a_builder_that_raises_stops_its_own_saga_only(shop: Shop) -> None:
    node = await start_node(shop, "builder", "v1")
    good, bad = shop.new_orders(20, versions=(1,), faults=("",)), [hazard(shop, "RAISES") for _ in range(3)]
    saga_ids = await shop.start(node, [*good[:10], *bad, *good[10:]], "parcel")
    assert await shop.until_ended(node, saga_ids, 30) == {SAGA_STATE_COMPLETED: 20, SAGA_STATE_STUCK: 3}
    stuck = [saga for saga in await shop.sagas(node, saga_ids) if saga.state == SAGA_STATE_STUCK]
    assert {saga.request_id for saga in stuck} == {order.request.request_id for order in bad}
    for saga in stuck:
        assert saga.failure.reason == "BUILDER_FAILED"
        assert not saga.owner_node_id
    await shop.check_sums(node)
    await stop_all(shop)


async def test_a_saga_that_kills_its_nodes_is_stopped(shop: Shop) -> None:
    node = await start_node(shop, "mortal-0", "v1")
    good, deadly = shop.new_orders(20, versions=(1,), faults=("",)), hazard(shop, "KILLS")
    with frozen(shop.stack.participants["shipping"].child):
        saga_ids = await shop.start(node, good, "parcel")
        await shop.until_all(node, saga_ids, waits_for_shipping, 20, "waiting for shipping")
        killing = shop.sagas_at(node).StartSaga(start_request(deadly, "parcel"), timeout=10)
        assert await node.child.wait(20) == 70
        killing.cancel()

    restarts, survivor = 0, None
    while survivor is None:
        restarts += 1
        assert restarts <= MAX_STALE_CLAIMS, "it is never stopped"
        survivor = await outlive(shop, f"mortal-{restarts}")
    report("restarts until the saga was stopped", restarts, "")

    node = survivor
    assert await shop.until_ended(node, saga_ids, 20) == {SAGA_STATE_COMPLETED: 20}
    (saga,) = [each for each in await shop.sagas(node) if each.request_id == deadly.request.request_id]
    assert saga.state == SAGA_STATE_STUCK
    assert saga.failure.reason == "CRASH_LOOP"
    assert len(claims(await shop.events(node, saga.saga_id))) == MAX_STALE_CLAIMS
    await shop.check_sums(node)
    await stop_all(shop)


async def outlive(shop: Shop, name: str) -> Member | None:
    """Starts a node; returns it once no saga is live, or None if it died before that."""
    starting = asyncio.create_task(start_node(shop, name, "v1"))
    await asyncio.sleep(0)
    child = shop.stack.nodes[-1].child
    settled = False

    async def is_decided() -> bool:
        nonlocal settled
        if child.announcement and not child.is_running():
            return True
        if starting.done():
            with suppress(grpc.aio.AioRpcError):  # it may die at any moment
                settled = not [saga for saga in await shop.sagas(starting.result()) if saga.state in LIVE]
        return settled

    await until(is_decided, 60, "decided")
    if settled:
        return starting.result()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert await child.wait(20) == 70
    return None
