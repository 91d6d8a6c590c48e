"""A participant dies in the middle of sagas, and comes back at its address."""

import asyncio
from collections import Counter

import pytest
from saga.v1.event_pb2 import EVENT_TYPE_ATTEMPT_FAILED, EVENT_TYPE_STEP_UNKNOWN
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED

from orchestrator.local.customer import Customer
from orchestrator.local.orders import Order
from orchestrator.local.stack import SERVICES
from tests.system.harness import Shop, check_fencing

ORDERS = 150
AT_ONCE = 24

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("name", SERVICES)
async def test_sagas_end_and_sums_hold_when_a_participant_is_killed(shop: Shop, name: str) -> None:
    nodes = await shop.two_nodes()
    customer = Customer([node.address for node in nodes])
    room, ended = asyncio.Semaphore(AT_ONCE), asyncio.Condition()
    ends: Counter[int] = Counter()

    async def place(number: int, order: Order) -> str:
        async with room:
            outcome = await customer.place(order, nodes[number % 2].address)
        async with ended:
            ends[outcome.state] += 1
            ended.notify_all()
        return outcome.saga_id

    async def kill_and_restart() -> None:
        async with ended:
            await ended.wait_for(lambda: ends.total() >= ORDERS // 5)
        assert sum(customer.in_flight.values()) >= AT_ONCE // 2
        await shop.stack.participants[name].child.kill()
        await shop.stack.start_participant(name)

    orders = shop.new_orders(ORDERS)
    saga_ids, _ = await asyncio.gather(
        asyncio.gather(*(place(number, order) for number, order in enumerate(orders))), kill_and_restart()
    )
    await customer.close()

    assert len(set(saga_ids)) == ORDERS
    assert set(ends) == {SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED}
    await shop.check_sums(nodes[0])
    journals = await shop.journals(nodes[1], saga_ids)
    for journal in journals.values():
        check_fencing(journal)
    felt = [
        event
        for journal in journals.values()
        for event in journal
        if event.type in {EVENT_TYPE_ATTEMPT_FAILED, EVENT_TYPE_STEP_UNKNOWN}
    ]
    assert felt, "the kill cut no attempt off, so it proves nothing"
