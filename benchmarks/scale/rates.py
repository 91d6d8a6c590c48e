"""Start to end with an empty database beside a full one, and what an idle node costs beside a full one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

import asyncpg

from benchmarks.scale.counters import Table, resident_bytes, statements, tables, wal_bytes
from benchmarks.scale.ground import Node
from benchmarks.scale.load import Task, Window, measured

STATISTICS_S: Final = 1.5
"""Backends hand their counts over once a second."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node and its database."""

    node: Node
    database: asyncpg.Connection


@dataclass(frozen=True, slots=True)
class Round:
    """One window on each database, one after the other."""

    empty: Window
    full: Window

    @property
    def ratio(self) -> float:
        """The full database's rate to the empty one's."""
        return self.full.rate / self.empty.rate


@dataclass(frozen=True, slots=True)
class Cost:
    """Of the sagas that one database took in, per saga."""

    sagas: int
    wal_bytes: float
    table_bytes: float
    index_bytes: float
    updates: float
    in_place_share: float
    """Of the updates."""
    dead: float


@dataclass(frozen=True, slots=True)
class Idle:
    """A node with nothing to do for a while."""

    statements_per_s: float
    resident_bytes: int


async def rounds(places: Mapping[str, Place], repeats: int, seconds: float) -> list[Round]:
    """Windows of ``empty`` and ``full``, in turn forwards and backwards. Raises ``RuntimeError``."""
    found: list[Round] = []
    for repeat in range(repeats):
        names = ("empty", "full") if repeat % 2 == 0 else ("full", "empty")
        windows = {
            name: await measured(Task(places[name].node.address, f"RATE-{repeat}", seconds, warm_up_s=2.0))
            for name in names
        }
        found.append(Round(windows["empty"], windows["full"]))
    return found


def ratio(found: list[Round]) -> float:
    """Median of the rounds' ratios."""
    return median(each.ratio for each in found)


async def cost(place: Place, seconds: float) -> Cost:
    """Loads one database, while the server writes for nobody else. Raises ``RuntimeError``."""
    before, wal_before = await _counted(place.database)
    await measured(Task(place.node.address, "COST", seconds, warm_up_s=0.0))
    after, wal_after = await _counted(place.database)
    saga, was = after["saga"], before["saga"]
    sagas = saga.inserted - was.inserted
    updates = saga.updated - was.updated
    event, event_was = after["saga_event"], before["saga_event"]
    return Cost(
        sagas=sagas,
        wal_bytes=(wal_after - wal_before) / sagas,
        table_bytes=(saga.table_bytes - was.table_bytes + event.table_bytes - event_was.table_bytes) / sagas,
        index_bytes=(saga.index_bytes - was.index_bytes + event.index_bytes - event_was.index_bytes) / sagas,
        updates=updates / sagas,
        in_place_share=(saga.updated_in_place - was.updated_in_place) / updates,
        dead=(saga.dead - was.dead) / sagas,
    )


async def _counted(database: asyncpg.Connection) -> tuple[dict[str, Table], float]:
    await asyncio.sleep(STATISTICS_S)
    return await tables(database), await wal_bytes(database)


async def idle(place: Place, seconds: float) -> Idle:
    """Watches a node that nobody asks for anything."""
    before = await statements(place.database)
    await asyncio.sleep(seconds)
    used = await statements(place.database) - before
    return Idle(used / seconds, resident_bytes(place.node.child.pid))
