"""A large takeover: claims and loads overlap, memory is not overfilled, and what was claimed is never forgotten."""

import asyncio
import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import Store, StoreUnavailable
from orchestrator.engine.settings import EngineSettings
from orchestrator.engine.stored import SagaRequest, Sight, StoredSaga
from orchestrator.engine.takeover import Takeover

NODE = uuid4()


class World:
    """A store with sagas of a dead node, and the memory of the node that takes them over."""

    def __init__(self, left: int, room: int) -> None:
        self.left = [uuid4() for _ in range(left)]
        self.held: list[UUID] = []
        self.memory: list[UUID] = []
        self.capacity = room
        self.claims: list[int] = []
        self.most_unadopted = 0
        self.load_fails = False
        self.before_load: asyncio.Event | None = None

    # ---- the store ----

    async def look(self, _node_id: UUID, _definition_ids: Sequence[int]) -> Sight:
        return Sight(has_died=bool(self.left), is_claimable=False, requests=())

    async def fence_expired(self, _node_id: UUID) -> Sequence[UUID]:
        return [uuid4()]

    async def claim(self, _node_id: UUID, *_args: Any, limit: int, suspects: bool, **_more: Any) -> Sequence[UUID]:
        claimed = [] if suspects else self.left[:limit]
        if not suspects:
            self.claims.append(len(claimed))
        if len(self.claims) == 2 and self.before_load is not None:
            self.before_load.set()
        self.left = self.left[len(claimed) :]
        self.held += claimed
        self.most_unadopted = max(self.most_unadopted, len(self.held) - len(self.memory))
        await asyncio.sleep(0)
        return claimed

    async def load(self, saga_ids: Sequence[UUID]) -> Sequence[StoredSaga]:
        if self.before_load is not None:
            await self.before_load.wait()
        if self.load_fails:
            raise StoreUnavailable("away")
        return [cast("StoredSaga", SimpleNamespace(saga_id=saga_id, owner=NODE)) for saga_id in saga_ids]

    async def pending_requests(self, _node_id: UUID) -> Sequence[SagaRequest]:
        return []

    async def owned(self, _node_id: UUID) -> Sequence[UUID]:
        return self.held

    async def forget_requests(self) -> int:
        return 0

    async def missing_definitions(self) -> Sequence[Any]:
        return []

    # ---- the engine ----

    @property
    def node_id(self) -> UUID | None:
        return NODE

    @property
    def room(self) -> int:
        return self.capacity - len(self.memory)

    def has_run(self, saga_id: UUID) -> bool:
        return saga_id in self.memory

    def has_moved(self, _saga_id: UUID) -> bool:
        return True

    def adopt(self, stored: StoredSaga) -> None:
        self.memory.append(stored.saga_id)

    def give_requests(self, requests: list[SagaRequest]) -> None:
        assert not requests

    def takeover(self, batch: int) -> Takeover:
        ticks = itertools.count()
        return Takeover(
            cast("Store", self),
            EngineSettings(claim_batch_size=batch),
            self,
            definition_ids=[1],
            on_fenced=lambda _: None,
            monotonic_s=lambda: float(next(ticks)),
            uniform=lambda low, _high: low,
            observer=Observer(),
        )


async def test_the_next_batch_is_claimed_while_the_one_before_it_is_loaded() -> None:
    world = World(left=10, room=100)
    world.before_load = asyncio.Event()  # no load ends before the second claim began
    async with asyncio.timeout(5):
        await world.takeover(4).run_once(NODE)
    assert world.claims == [4, 4, 2, 0]
    assert world.memory == world.held
    assert len(world.memory) == 10
    assert world.most_unadopted <= 8


@pytest.mark.parametrize("room", [1, 3, 4, 5, 8, 9])
async def test_no_more_are_claimed_than_there_is_room_for(room: int) -> None:
    world = World(left=20, room=room)
    await world.takeover(4).run_once(NODE)
    assert len(world.memory) == len(world.held) == room


async def test_what_was_claimed_and_not_loaded_is_found_again() -> None:
    world = World(left=10, room=100)
    world.load_fails = True
    takeover = world.takeover(4)
    with pytest.raises(StoreUnavailable):
        await takeover.run_once(NODE)
    assert world.held
    assert not world.memory
    world.load_fails = False
    takeover.check_owned()
    await takeover.run_once(NODE)
    assert sorted(world.memory) == sorted(world.held)
    assert len(world.memory) == 10
