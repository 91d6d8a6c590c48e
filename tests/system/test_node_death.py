"""A node dies or freezes with sagas in flight: another one takes them over, and both never write the same history."""

import asyncio
import time

import pytest
from google.protobuf.duration_pb2 import Duration
from saga.v1.event_pb2 import EVENT_TYPE_SAGA_COMPLETED
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED, Saga
from saga.v1.saga_service_pb2 import WaitSagaRequest, WatchSagaRequest

from orchestrator.local.health import wait_until_serving
from orchestrator.local.stack import Member
from tests.system.harness import Shop, check_fencing, claims, frozen, log_lines, report, until

LEASE_TTL_S = 5.0
PROMISE_S = LEASE_TTL_S + 5.0
HELD_FAULTS = ("", "", "undeliverable", "", "")
"""None of these is decided before shipping answers."""

pytestmark = pytest.mark.timeout(180)


def waits_for_shipping(saga: Saga) -> bool:
    """Started, and both steps before shipping succeeded."""
    return saga.last_seq >= 3


def node_ids(node: Member) -> list[str]:
    """Every incarnation of a node, from its log."""
    return [line["node"] for line in log_lines(node.child) if line["event"] == "node_joined"]


async def wait_until_rejoined(node: Member, former_id: str) -> None:
    """Until it has found out that it was declared dead."""

    async def has_rejoined() -> bool:
        return node_ids(node)[-1] != former_id

    await until(has_rejoined, 20, "a new incarnation")


async def test_survivor_finishes_200_sagas_of_a_killed_node_in_time(shop: Shop) -> None:
    victim, survivor = await shop.two_nodes()
    orders = shop.new_orders(200, faults=HELD_FAULTS)
    with frozen(shop.stack.participants["shipping"].child):
        saga_ids = await shop.start(victim, orders)
        in_flight = await shop.until_all(survivor, saga_ids, waits_for_shipping, 30, "waiting for shipping")
        assert len({saga.saga_id for saga in in_flight if saga.state in (2, 4)}) == 200
        killed_at = time.monotonic()
        await victim.child.kill()
    ends = await shop.until_ended(survivor, saga_ids, 60)
    took_s = time.monotonic() - killed_at
    report("200 sagas of a killed node ended after the kill", took_s)
    assert set(ends) == {SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED}
    assert ends[SAGA_STATE_COMPENSATED] == 40
    await shop.check_sums(survivor)
    for journal in (await shop.journals(survivor, saga_ids)).values():
        check_fencing(journal)
        (claim,) = claims(journal)
        assert claim.saga_claimed.node_id == survivor.child.announcement["node_id"]
        assert claim.saga_claimed.crashed
        assert claim.epoch > journal[0].epoch
    assert took_s <= PROMISE_S


async def test_a_new_node_finishes_what_the_death_of_all_left_behind(shop: Shop) -> None:
    first, second = await shop.two_nodes()
    orders = shop.new_orders(100, faults=HELD_FAULTS)
    with frozen(shop.stack.participants["shipping"].child):
        saga_ids = await shop.start(first, orders[:50]) + await shop.start(second, orders[50:])
        await shop.until_all(first, saga_ids, waits_for_shipping, 30, "waiting for shipping")
        killed_at = time.monotonic()
        await asyncio.gather(first.child.kill(), second.child.kill())
    new = await shop.stack.start_node("new")
    serves_at = time.monotonic()
    ends = await shop.until_ended(new, saga_ids, 60)
    report("100 sagas of two killed nodes ended after the kill", time.monotonic() - killed_at)
    assert set(ends) == {SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED}
    assert time.monotonic() - serves_at <= PROMISE_S
    await shop.check_sums(new)


async def test_streams_and_waits_on_another_node_survive_the_owner(shop: Shop) -> None:
    owner, other = await shop.two_nodes()
    orders = shop.new_orders(10, versions=(1, 2), faults=("",))
    seen: dict[str, list[int]] = {}
    reached = asyncio.Semaphore(0)

    async def watch(saga_id: str) -> int:
        """Type of the stream's last event."""
        last = 0
        seqs = seen[saga_id] = []
        async for answer in shop.sagas_at(other).WatchSaga(WatchSagaRequest(saga_id=saga_id), timeout=60):
            seqs.append(answer.event.seq)
            last = answer.event.type
            if answer.event.seq == 3:
                reached.release()
        return last

    async def wait(saga_id: str) -> Saga:
        request = WaitSagaRequest(saga_id=saga_id, timeout=Duration(seconds=50))
        return (await shop.sagas_at(other).WaitSaga(request, timeout=60)).saga

    with frozen(shop.stack.participants["shipping"].child):
        saga_ids = await shop.start(owner, orders)
        watching = [asyncio.create_task(watch(saga_id)) for saga_id in saga_ids]
        waiting = [asyncio.create_task(wait(saga_id)) for saga_id in saga_ids]
        async with asyncio.timeout(30):
            for _ in saga_ids:
                await reached.acquire()
        assert not any(task.done() for task in (*watching, *waiting))
        await owner.child.kill()
    assert set(await asyncio.gather(*watching)) == {EVENT_TYPE_SAGA_COMPLETED}
    for saga in await asyncio.gather(*waiting):
        assert saga.state == SAGA_STATE_COMPLETED
        assert saga.steps
        assert seen[saga.saga_id] == list(range(1, saga.last_seq + 1))
    await shop.check_sums(other)


async def test_a_frozen_node_writes_nothing_once_it_was_replaced(shop: Shop) -> None:
    zombie, other = await shop.two_nodes()
    former_id, other_id = zombie.child.announcement["node_id"], other.child.announcement["node_id"]
    orders = shop.new_orders(60, faults=HELD_FAULTS)
    shipping = shop.stack.participants["shipping"].child
    with frozen(shipping) as thaw_shipping:
        saga_ids = await shop.start(zombie, orders)
        await shop.until_all(other, saga_ids, waits_for_shipping, 30, "waiting for shipping")
        with frozen(zombie.child):
            await shop.until_all(other, saga_ids, lambda saga: saga.owner_node_id == other_id, 20, "claimed")
            claimed_at = time.monotonic()
            thaw_shipping()  # its answers to the zombie wait in the zombie's sockets until it goes on
            ends = await shop.until_ended(other, saga_ids, 60)
            report("60 sagas of a frozen node ended after their claim", time.monotonic() - claimed_at)
            assert set(ends) == {SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED}
            journals = await shop.journals(other, saga_ids)
    await wait_until_rejoined(zombie, former_id)
    await wait_until_serving(zombie.address, 20)

    # The zombie serves again, as another incarnation.
    new = shop.new_orders(10, faults=("",))
    new_ids = await shop.start(zombie, new)
    assert (await shop.until_ended(other, new_ids, 30))[SAGA_STATE_COMPLETED] == 10
    joined = node_ids(zombie)
    assert joined[0] == former_id
    assert len(set(joined)) == len(joined) == 2

    assert await shop.journals(other, saga_ids) == journals
    for journal in journals.values():
        check_fencing(journal)
        (claim,) = claims(journal)
        assert claim.saga_claimed.node_id == other_id
    await shop.check_sums(other)
