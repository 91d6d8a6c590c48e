"""Claims: who gets what, once."""

from tests.fixtures.postgres import connect
from tests.integration.storage.sagas import World, fence

LATER_US = 4_000_000_000_000_000
PAST_US = 1_000_000_000_000_000
INCARNATION = 1 << 32


async def test_locked_sagas_are_passed_over_and_found_by_the_next_pass(world: World) -> None:
    dead, survivor = await world.node(), await world.node()
    locked, free = await world.start(dead, 2)
    await fence(world, dead)
    blocker = await connect(world.url)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM saga WHERE saga_id = $1 FOR UPDATE", locked.saga_id)
        assert await world.claim(survivor, dead) == {free.saga_id}
        assert await world.store.fence_expired(survivor) == [dead]
    async with blocker.transaction():
        await blocker.execute("SELECT FROM saga WHERE saga_id = $1 FOR KEY SHARE", locked.saga_id)
        assert await world.claim(survivor, dead) == {locked.saga_id}, "a foreign key's lock hides nothing"
    assert await world.store.fence_expired(survivor) == []
    await blocker.close()
