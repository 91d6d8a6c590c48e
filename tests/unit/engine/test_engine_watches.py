"""Waiters are told of local progress at once, and of other nodes' by one query for all."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import JournalStore, StoreUnavailable
from orchestrator.engine.stored import Position
from orchestrator.engine.watches import Watches


class Positions:
    """A store of positions alone."""

    def __init__(self) -> None:
        self.asked: list[list[UUID]] = []
        self.known: dict[UUID, Position] = {}
        self.away = False

    async def positions(self, saga_ids: Sequence[UUID]) -> Mapping[UUID, Position]:
        self.asked.append(list(saga_ids))
        if self.away:
            raise StoreUnavailable("away")
        return {saga_id: self.known[saga_id] for saga_id in saga_ids if saga_id in self.known}


def _watches(store: Positions, local: set[UUID]) -> Watches:
    return Watches(cast("JournalStore", store), 0.01, local.__contains__)


async def test_only_what_is_not_here_is_asked_for_and_all_at_once() -> None:
    store, here, there, gone = Positions(), uuid4(), uuid4(), uuid4()
    watches = _watches(store, {here})
    opened = {saga_id: watches.open(saga_id) for saga_id in (here, there, gone)}
    store.known[there] = Position(None, 1, 7, SagaStatus.COMPLETED)
    await watches.run_once()
    assert store.asked == [[there, gone]]
    assert (opened[there].seq, opened[there].status) == (7, SagaStatus.COMPLETED)
    assert opened[there].is_over
    assert opened[gone].status is None
    assert not opened[here].changed.is_set()


async def test_nobody_waits_unseen_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.engine.watches.MAX_QUERIED", 2)
    store = Positions()
    watches = _watches(store, set())
    opened = {saga_id: watches.open(saga_id) for saga_id in (uuid4() for _ in range(5))}
    store.known = {saga_id: Position(None, 1, 3, SagaStatus.RUNNING) for saga_id in opened}
    await watches.run_once()
    assert [len(asked) for asked in store.asked] == [2, 2, 1]
    assert all(watch.changed.is_set() for watch in opened.values())


async def test_nothing_is_asked_while_nobody_waits() -> None:
    store, saga_id = Positions(), uuid4()
    watches = _watches(store, set())
    first, second = watches.open(saga_id), watches.open(saga_id)
    watches.close(saga_id, first)
    watches.close(saga_id, first)
    watches.tell(saga_id, 2, SagaStatus.STUCK)
    assert (first.seq, second.seq, second.is_over) == (0, 2, True)
    watches.close(saga_id, second)
    await watches.run_once()
    assert store.asked == []


async def test_a_store_that_is_away_leaves_watches_as_they_are() -> None:
    store, saga_id = Positions(), uuid4()
    store.away = True
    watches = _watches(store, set())
    watch = watches.open(saga_id)
    await watches.run_once()
    assert not watch.changed.is_set()


def test_a_node_that_goes_ends_every_wait_and_those_to_come() -> None:
    watches: Any = _watches(Positions(), set())
    before = watches.open(uuid4())
    watches.interrupt()
    after = watches.open(uuid4())
    assert before.is_over
    assert before.changed.is_set()
    assert after.is_over
