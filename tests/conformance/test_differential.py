"""The same random calls to PostgreSQL and to the simulated store: every answer is the same, and so is what is left."""

import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias
from uuid import UUID

import pytest

from orchestrator.core.state import TERMINAL, SagaStatus
from orchestrator.engine.stored import (
    Batch,
    Checkpoint,
    NewSaga,
    SagaFilter,
    SagaRequest,
    Sight,
    StoredEntry,
    StoredSaga,
    Visibility,
)
from orchestrator.operations.values import AuditAction, SagaAction
from tests.integration.storage.sagas import World, checkpoint
from tests.simulation.database import Database

STEPS: Final = 260
TENANTS: Final = ("", "", "acme")
CLAIMED, CONSUMED = 2, 15
PAST_US: Final = 1_000_000_000_000_000
LATER_US: Final = 4_000_000_000_000_000
MOVES: Final = (
    *[SagaStatus.RUNNING] * 20,
    *[SagaStatus.COMPENSATING] * 4,
    *[SagaStatus.STUCK] * 4,
    *(SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.RESOLVED),
)
Ask: TypeAlias = Callable[[World], Awaitable[Any]]


class Pair:
    """Asks both, and demands the same answer. Numbers of requests are each store's own: they are translated."""

    def __init__(self, worlds: tuple[World, World], rng: random.Random) -> None:
        self.worlds = worlds
        self.rng = rng
        self.nodes: list[UUID] = []
        self.sagas: list[NewSaga] = []
        self.numbers: list[tuple[int, int]] = []
        self.asked: list[tuple[UUID, int]] = []
        """The saga of each request, and its place in ``numbers``."""
        self.log: list[str] = []
        self.refusals: set[str] = set()
        self._wakes = iter(range(PAST_US, LATER_US))

    async def both(self, name: str, ask: Ask) -> Any:
        """The answer, as the simulated store gives it."""
        real, simulated = [await self._answer(place, ask) for place in (0, 1)]
        self.log.append(f"{name}: {simulated}")
        assert real == simulated, "\n".join([*self.log[-12:], f"PostgreSQL: {real}"])
        if isinstance(simulated, type):
            self.refusals.add(simulated.__name__)
        return simulated

    async def _answer(self, place: int, ask: Ask) -> Any:
        try:
            return self._plain(place, await ask(self.worlds[place]))
        except Exception as error:
            return type(error)

    def _plain(self, place: int, answer: Any) -> Any:
        """Without what differs by nature: the two databases' times, and the numbers that they give."""
        match answer:
            case StoredSaga():
                wake_at_us = None if answer.wake_at_us is None else answer.wake_at_us >= LATER_US
                return replace(
                    answer,
                    created_us=0,
                    updated_us=0,
                    ended_us=None if answer.ended_us is None else 0,
                    wake_at_us=wake_at_us,
                    journal=tuple(self._plain(place, list(answer.journal))),
                )
            case StoredEntry(kind=2):
                return replace(answer, at_us=0)
            case SagaRequest():
                return replace(answer, number=[pair[place] for pair in self.numbers].index(answer.number))
            case Sight():
                return replace(answer, requests=tuple(self._plain(place, each) for each in answer.requests))
            case list() | tuple():
                return [self._plain(place, each) for each in answer]
        return answer

    def node(self) -> UUID:
        """Mostly one that is not fenced."""
        alive: list[UUID] = list(getattr(self.worlds[1], "database").nodes)  # noqa: B009  (only the simulated world has one)
        return self.rng.choice(alive if alive and self.rng.random() < 0.9 else self.nodes)

    # ---- what may be asked ----

    async def join(self) -> None:
        again = self.nodes and self.rng.random() < 0.2
        node_id = self.rng.choice(self.nodes) if again else UUID(int=self.rng.getrandbits(128), version=4)
        if not again:
            self.nodes.append(node_id)
        await self.both(
            "join", lambda world: silent(world.store.register_node(node_id, "n", [world.definition_id], 30))
        )

    async def start(self) -> None:
        node_id, world = self.node(), self.worlds[1]
        keys = [self.rng.choice((None, "a", "b", "c")) for _ in range(self.rng.randint(1, 3))]
        items = [world.new(f"r{self.rng.randrange(200)}", key=key, tenant=self.rng.choice(TENANTS)) for key in keys]
        self.sagas += items
        await self.both("start", lambda world: world.store.commit(node_id, Batch(new=tuple(items))))

    async def write(self) -> None:
        chosen = self.rng.sample(self.sagas, min(len(self.sagas), self.rng.randint(1, 3)))
        positions = await self.both("positions", lambda w: w.store.positions([each.saga_id for each in chosen]))
        owners = [place.owner for place in positions.values() if place.owner is not None]
        node_id = self.rng.choice(owners) if owners and self.rng.random() < 0.9 else self.node()
        shapes = [self._checkpoint(saga, positions.get(saga.saga_id)) for saga in chosen]

        async def commit(world: World) -> Any:
            place = self.worlds.index(world)
            items = [
                replace(item, consumed_requests=tuple(self.numbers[number][place] for number in item.consumed_requests))
                for item in shapes
            ]
            return await world.store.commit(node_id, Batch(checkpoints=tuple(items), notify_claimable=True))

        await self.both("write", commit)

    def _checkpoint(self, saga: NewSaga, position: Any) -> Checkpoint:
        rng = self.rng
        epoch, seq = (1, 1) if position is None else (position.epoch, position.last_seq)
        answered = [number for saga_id, number in self.asked if saga_id == saga.saga_id]
        consumed = (rng.choice(answered),) if answered and rng.random() < 0.4 else ()
        count = 1 if consumed else rng.randint(0, 2)
        return checkpoint(
            saga,
            seq + count + (rng.random() < 0.1),
            rng.choice(MOVES),
            epoch=epoch - (rng.random() < 0.05),
            count=count,
            kind=CONSUMED if consumed else 4,
            release=rng.random() < 0.3,
            wake_at_us=rng.choice((None, next(self._wakes), next(self._wakes), LATER_US)),
            consumed=consumed,
        )

    async def claim(self) -> None:
        rng = self.rng
        node_id, dead, suspects = (
            self.node(),
            rng.sample(self.nodes, min(len(self.nodes), rng.randrange(6))),
            rng.random() < 0.3,
        )
        lacks = rng.random() < 0.1

        async def ask(world: World) -> Any:
            return await world.claim(node_id, *dead, suspects=suspects, definition_ids=[] if lacks else None)

        await self.both("claim", ask)

    async def die(self) -> None:
        node_id, finder = self.node(), self.node()
        if node_id in getattr(self.worlds[1], "database").nodes:  # noqa: B009  (as above)
            for world in self.worlds:
                await world.lapse(node_id)
        await self.both("fence", lambda world: ordered(world.store.fence_expired(finder)))

    async def leave(self) -> None:
        node_id = self.rng.choice(self.nodes)
        await self.both("leave", lambda world: world.store.release_node(node_id))

    async def renew(self) -> None:
        node_id = self.rng.choice(self.nodes)
        await self.both("renew", lambda world: silent(world.store.renew(node_id, 30)))

    async def request(self) -> None:
        saga, request_id = self.rng.choice(self.sagas), f"c{self.rng.randrange(40)}"
        kind, action = self.rng.choice(("cancel", "cancel", "retry")), self.rng.choice(list(AuditAction)[:7])
        by_hand, step, response = self.rng.random() < 0.5, self.rng.choice((None, "a")), self.rng.choice((None, b"\0"))
        asked = SagaAction(saga.saga_id, action, "local", request_id, "why", self.rng.randrange(9), step, response)
        numbers: list[int] = []

        async def ask(world: World) -> str:
            add = world.store.add_action(asked) if by_hand else None
            numbers.append(await (add or world.store.add_request(saga.saga_id, "local", request_id, kind)))
            return "stored"

        if await self.both("request", ask) == "stored":
            pair = numbers[0], numbers[1]
            if pair not in self.numbers:
                self.numbers.append(pair)
                self.asked.append((saga.saga_id, len(self.numbers) - 1))

    async def forget(self) -> None:
        await self.both("forget", lambda world: world.store.forget_requests())

    async def fail_over(self) -> None:
        for world in self.worlds:
            await world.raise_incarnation()
        await self.both("incarnation", lambda world: world.store.incarnation())

    async def look(self) -> None:
        """Everything that can be read."""
        rng, ids = self.rng, [saga.saga_id for saga in self.sagas]
        node_id, saga = rng.choice(self.nodes), rng.choice(self.sagas)
        visibility = Visibility(rng.choice((None, ("",), ("acme",), ("acme", ""))), rng.choice((None, None, "local")))
        where = SagaFilter(
            states=tuple(rng.sample(list(SagaStatus), 3)),
            concurrency_key=rng.choice((None, "a")),
            visibility=visibility,
        )
        tenant = rng.choice(TENANTS)
        before, after = rng.choice([None, *ids]), rng.randrange(4)
        await self.both("look", lambda world: world.store.look(node_id, [world.definition_id]))
        await self.both("owned", lambda world: ordered(world.store.owned(node_id)))
        await self.both("pending", lambda world: world.store.pending_requests(node_id))
        await self.both("missing", lambda world: world.store.missing_definitions())
        await self.both("list", lambda world: world.store.list_sagas(where, limit=10, before=before))
        await self.both("entries", lambda world: world.store.list_entries(saga.saga_id, after_seq=after, limit=3))
        await self.both("find", lambda world: world.store.find_request("local", saga.request_id))
        await self.both("find key", lambda world: world.store.find_live_key(tenant, "place-order", "a"))
        await self.both("visible", lambda world: ordered(world.store.visible(ids[:50], visibility)))
        if self.asked:
            saga_id, number = rng.choice(self.asked)
            await self.both(
                "outcome",
                lambda world: world.store.request_outcome(saga_id, self.numbers[number][self.worlds.index(world)]),
            )

    async def load(self) -> Sequence[StoredSaga]:
        """Every saga with its journal."""
        ids = [saga.saga_id for saga in self.sagas]

        async def ask(world: World) -> Any:
            return sorted(await world.store.load(ids), key=lambda stored: stored.saga_id)

        found: Sequence[StoredSaga] = await self.both("load", ask)
        return found


async def silent(answer: Awaitable[object]) -> None:
    """The database's time is its own."""
    await answer


async def ordered(answer: Awaitable[Collection[UUID]]) -> list[UUID]:
    return sorted(await answer)


async def play(pair: Pair) -> None:
    """Asks for this and that, and in the middle for a failover."""
    rng = pair.rng
    for _ in range(3):
        await pair.join()
    await pair.start()
    often = (pair.start, pair.write, pair.write, pair.write, pair.write, pair.claim, pair.claim, pair.request)
    seldom = (pair.join, pair.join, pair.die, pair.die, pair.leave, pair.renew, pair.forget, pair.look, pair.look)
    for step in range(STEPS):
        await rng.choice(often if rng.random() < 0.75 else seldom)()
        if step == STEPS // 2:
            await pair.fail_over()


@pytest.mark.parametrize("seed", [2, 3])
async def test_both_stores_answer_alike(worlds: tuple[World, World], seed: int) -> None:
    pair = Pair(worlds, random.Random(seed))
    await play(pair)
    stored = await pair.load()
    for each in (each for each in pair.sagas if each.saga_id in {saga.saga_id for saga in stored}):
        claims = [(await world.saga(each))["stale_claims"] for world in worlds]
        assert claims[0] == claims[1]
    statuses = {saga.row.status for saga in stored}
    assert statuses >= {SagaStatus.RUNNING, SagaStatus.STUCK}
    assert statuses & TERMINAL
    assert sum(entry.kind == CLAIMED for saga in stored for entry in saga.journal) > 10
    assert any(saga.epoch >> 32 for saga in stored)
    assert {saga.tenant for saga in stored} == set(TENANTS)
    assert pair.refusals >= {"NodeFenced", "RequestReused", "SagaEnded"}


async def test_a_store_that_lies_is_found_out(worlds: tuple[World, World], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "may_move", lambda _self, saga, node_id, _item: saga.owner == node_id)
    with pytest.raises(AssertionError, match="PostgreSQL: "):
        await play(Pair(worlds, random.Random(1)))
