"""A node dies with thousands of sagas in flight; another one has them running again soon after the lease."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from benchmarks.scale.counters import Others, cpu_s, resident_bytes
from benchmarks.scale.fill import fill_owned, pattern
from benchmarks.scale.ground import Ground
from benchmarks.scale.load import Task, measured

LEASE_TTL_S: Final = 5.0
PROMISE_S: Final = LEASE_TTL_S + 10.0
LEAST_SHARE: Final = 1 / 3
"""Of the machine; however much others took, the promise is stretched no further."""
GIVE_UP_S: Final = 120.0
POLL_S: Final = 0.1

_LEFT: Final = """
    SELECT count(*) FILTER (WHERE owner IS DISTINCT FROM $2::uuid AND ended_at IS NULL) AS unclaimed,
        count(*) FILTER (WHERE ended_at IS NULL) AS live
    FROM saga WHERE saga_id = ANY ($1::uuid[])
"""


_CLAIMED: Final = "SELECT count(*) FROM saga_event WHERE saga_id = ANY ($1::uuid[]) AND kind = 2"


@dataclass(frozen=True, slots=True)
class Takeover:
    """Seconds after the kill at which the survivor held the last saga, and at which the last one had ended.

    ``cpu_s`` and ``bytes_more`` are the survivor's: CPU in all, and memory when it held all of them.
    """

    sagas: int
    running_s: float
    ended_s: float
    cpu_s: float
    bytes_more: int
    others_share: float
    """Of the machine's CPUs, what went to programs that have nothing to do with this, until all ran."""

    @property
    def bound_s(self) -> float:
        """When all had to run again: the promise, stretched for what others took of the machine."""
        return LEASE_TTL_S + (PROMISE_S - LEASE_TTL_S) / max(1 - self.others_share, LEAST_SHARE)

    @property
    def holds(self) -> bool:
        """Whether all were running again, or had ended, in time."""
        return self.running_s <= self.bound_s


async def takeover(ground: Ground, name: str, count: int, *, frozen: bool) -> Takeover:
    """Kills a node with so many sagas in flight, next to another one with default settings.

    Where other programs take a share of the machine, the promised time after the lease is stretched by it.

    Each saga waits for its third step. With ``frozen`` the participants answer nothing until the survivor holds every
    saga, so that none makes room for another. Raises ``TimeoutError`` if they do not end.
    """
    database = await ground.database(name)
    victim, survivor = await ground.node(name), await ground.node(name)
    for node in (victim, survivor):  # connections stand, as on a node that has been up for a while
        await measured(Task(node.address, node.node_id, 1.0))
    copied = await pattern(database)
    before_bytes, before_s = resident_bytes(survivor.child.pid), cpu_s(survivor.child.pid)
    await fill_owned(database, copied, count, UUID(victim.node_id))
    await victim.child.kill()
    killed_at, others = time.monotonic(), Others()
    saga_ids = [row["saga_id"] for row in await database.fetch("SELECT saga_id FROM saga WHERE request_id ^@ 'OWNED'")]
    assert len(saga_ids) == count
    if frozen:
        ground.freeze()
    try:
        await _until(database, saga_ids, survivor.node_id, "unclaimed")
        running_s, held_bytes = time.monotonic() - killed_at, resident_bytes(survivor.child.pid)
        others_share = others.share()
    finally:
        if frozen:
            ground.thaw()
    await _until(database, saga_ids, survivor.node_id, "live")
    ended_s = time.monotonic() - killed_at
    used_s = cpu_s(survivor.child.pid) - before_s
    claimed = await database.fetchval(_CLAIMED, saga_ids)
    assert claimed == count, f"{claimed} claims of {count} sagas"
    await survivor.child.stop(GIVE_UP_S)
    return Takeover(count, running_s, ended_s, used_s, held_bytes - before_bytes, others_share)


async def _until(database: asyncpg.Connection, saga_ids: list[UUID], survivor: str, what: str) -> None:
    async with asyncio.timeout(GIVE_UP_S):
        while True:
            row = await database.fetchrow(_LEFT, saga_ids, UUID(survivor))
            if row is not None and not row[what]:
                return
            await asyncio.sleep(POLL_S)
