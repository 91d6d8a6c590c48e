"""One node under load for long: its memory, PostgreSQL's, and what a stored saga takes up must not creep."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import asyncpg

from benchmarks.scale.counters import private_bytes, resident_bytes, tables
from benchmarks.scale.ground import Ground, Node
from benchmarks.scale.load import Task, measured

SAMPLES: Final = 60
IN_FLIGHT: Final = 32
WARM_UP_S: Final = 5.0
MEMORY_SLACK_BYTES: Final = 8 << 20
"""What an allocator may keep or give back by chance."""
DEAD_SLACK: Final = 20_000
"""Dead rows come and go with every vacuum; so many are none worth a word."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How things stand at one moment. Bytes; ``sagas`` are rows stored, ``dead`` are row versions to be vacuumed."""

    sagas: int
    node_bytes: int
    postgres_bytes: int
    table_bytes: int
    index_bytes: int
    dead: int


@dataclass(frozen=True, slots=True)
class Flatness:
    """One quantity in the second and in the last third of a soak. It is flat if the last exceeds ``most`` nowhere."""

    name: str
    second: float
    last: float
    most: float

    @property
    def holds(self) -> bool:
        """Whether it is flat."""
        return self.last <= self.most


async def soak(
    ground: Ground, database: asyncpg.Connection, node: Node, seconds: float, pause_s: float
) -> tuple[list[Sample], float]:
    """Loads the node for so long; returns samples in even steps, and sagas a second. Raises ``RuntimeError``."""
    loading = asyncio.create_task(measured(Task(node.address, "SOAK", seconds, IN_FLIGHT, WARM_UP_S, pause_s)))
    samples: list[Sample] = []
    try:
        for _ in range(SAMPLES):
            done, _ = await asyncio.wait({loading}, timeout=(seconds + WARM_UP_S) / SAMPLES)
            if done:
                break
            samples.append(await _sample(ground, database, node))
        window = await loading
    finally:
        loading.cancel()
    return samples, window.rate


async def _sample(ground: Ground, database: asyncpg.Connection, node: Node) -> Sample:
    found = await tables(database)
    grown = (found["saga"], found["saga_event"])
    return Sample(
        sagas=found["saga"].inserted,
        node_bytes=resident_bytes(node.child.pid),
        postgres_bytes=private_bytes(ground.postgres.pid),
        table_bytes=sum(table.table_bytes for table in grown),
        index_bytes=sum(table.index_bytes for table in grown),
        dead=found["saga"].dead,
    )


def flatness(samples: Sequence[Sample], room: float) -> list[Flatness]:
    """Compares the thirds; ``room`` is how much more than the second the last may come to, such as 0.1."""
    third = len(samples) // 3
    second, last = samples[third : 2 * third], samples[2 * third : 3 * third]

    def mean(name: str, value: Callable[[Sample], float], slack: float) -> Flatness:
        before = fmean(map(value, second))
        return Flatness(name, before, fmean(map(value, last)), before * (1 + room) + slack)

    def growth(name: str, value: Callable[[Sample], float]) -> Flatness:
        before, after = _growth(second, value), _growth(last, value)
        return Flatness(name, before, after, before * (1 + room))

    return [
        mean("node's memory, bytes", lambda sample: sample.node_bytes, MEMORY_SLACK_BYTES),
        mean("PostgreSQL's private memory, bytes", lambda sample: sample.postgres_bytes, MEMORY_SLACK_BYTES),
        mean("dead rows", lambda sample: sample.dead, DEAD_SLACK),
        growth("table bytes a saga", lambda sample: sample.table_bytes),
        growth("index bytes a saga", lambda sample: sample.index_bytes),
    ]


def _growth(part: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    return (value(part[-1]) - value(part[0])) / max(1, part[-1].sagas - part[0].sagas)
