"""The node never believes in its lease for longer than the database does."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from orchestrator.engine.clock import DatabaseClock
from orchestrator.engine.lease import LeaseKeeper
from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import NodeFenced, StoreUnavailable

TTL_S = 5.0


class Leases:
    """A store of leases alone; a call takes ``delay_s`` of the test's clock."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.delay_s = 0.0
        self.error: Exception | None = None
        self.renewals = 0

    async def register_node(self, _node_id: UUID, _name: str, _ids: Any, _ttl_s: float) -> int:
        return self._answer()

    async def renew(self, _node_id: UUID, _ttl_s: float) -> int:
        self.renewals += 1
        return self._answer()

    def _answer(self) -> int:
        self.now_s += self.delay_s
        if self.error is not None:
            raise self.error
        return int(self.now_s * 1_000_000)


class Listener:
    """What the keeper told."""

    def __init__(self) -> None:
        self.changes: list[bool] = []
        self.fenced: list[UUID] = []


def _held(keeper: LeaseKeeper) -> bool:
    return keeper.is_held


def _keeper(store: Any, told: Listener, interval_s: float = 1.5) -> LeaseKeeper:
    return LeaseKeeper(
        store,
        DatabaseClock(lambda: store.now_s),
        ttl_s=TTL_S,
        interval_s=interval_s,
        on_change=told.changes.append,
        on_fenced=told.fenced.append,
        observer=Observer(),
    )


async def test_the_lease_counts_from_the_question_not_from_the_answer() -> None:
    store, told, node_id = Leases(), Listener(), uuid4()
    keeper = _keeper(store, told)
    assert not _held(keeper)
    store.delay_s = 2.0
    await keeper.register(node_id, "n", [])
    assert _held(keeper)
    store.now_s += 2.9
    assert _held(keeper)
    store.now_s += 0.2
    assert not _held(keeper)
    await keeper.run_once()
    assert _held(keeper)
    store.delay_s = TTL_S + 1
    await keeper.run_once()
    assert not _held(keeper), "an answer that comes after the lease has lapsed is worth nothing"


async def test_a_store_that_is_away_costs_the_lease_only_when_it_lapses() -> None:
    store, told = Leases(), Listener()
    keeper = _keeper(store, told)
    await keeper.register(uuid4(), "n", [])
    store.error = StoreUnavailable("away")
    await keeper.run_once()
    assert _held(keeper)
    assert told.changes == [], "one slow renewal is no reason to turn callers away"
    store.now_s += TTL_S
    assert not _held(keeper)
    await keeper.run_once()
    assert told.changes == [False]
    store.error = None
    await keeper.run_once()
    assert _held(keeper)
    assert told.changes == [False, True]


async def test_a_fence_is_told_once_with_the_node_that_it_met() -> None:
    store, told, node_id = Leases(), Listener(), uuid4()
    keeper = _keeper(store, told)
    await keeper.register(node_id, "n", [])
    store.error = NodeFenced("fenced")
    await keeper.run_once()
    assert told.fenced == [node_id]
    keeper.lose()
    assert not _held(keeper)
    await keeper.run_once()
    assert store.renewals == 1, "who holds no lease renews none"


async def test_what_was_not_answered_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    store, told = Leases(), Listener()
    keeper = _keeper(store, told, interval_s=1.5)
    await keeper.register(uuid4(), "n", [])
    pauses: list[float] = []

    async def sleep(delay_s: float) -> None:
        pauses.append(delay_s)
        store.error = StoreUnavailable("away") if len(pauses) in {2, 3} else None
        if len(pauses) == 6:
            raise asyncio.CancelledError

    monkeypatch.setattr("orchestrator.engine.lease.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await keeper.run()
    assert pauses == [1.5, 1.5, 0.25, 0.25, 1.5, 1.5]
