"""What nodes and tables have come to: statements, memory, sizes, dead rows; and what other programs took."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import psutil

from benchmarks.scale.ground import CHAIN

# Of the nodes' role alone: what this program asks does not count. BEGIN, COMMIT and SET do.
_STATEMENTS: Final = """
    SELECT coalesce(sum(s.calls), 0)::bigint FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
    JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database() AND r.rolname = $1
"""
_TABLES: Final = """
    SELECT t.relname, t.n_live_tup, t.n_dead_tup, t.n_tup_ins, t.n_tup_upd, t.n_tup_hot_upd, t.autovacuum_count,
        pg_table_size(t.relid) AS table_bytes, pg_indexes_size(t.relid) AS index_bytes
    FROM pg_stat_user_tables t WHERE t.relname IN ('saga', 'saga_event', 'saga_request', 'node', 'node_fence')
    ORDER BY pg_total_relation_size(t.relid) DESC
"""
_WAL: Final = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8"


@dataclass(frozen=True, slots=True)
class Table:
    """One table as PostgreSQL's statistics have it; they lag a second behind. ``inserted`` and so on only rise."""

    name: str
    live: int
    dead: int
    inserted: int
    updated: int
    updated_in_place: int
    """Updates that touched no index and stayed on their page (HOT)."""
    vacuums: int
    table_bytes: int
    index_bytes: int

    @property
    def total_bytes(self) -> int:
        """Table and indexes."""
        return self.table_bytes + self.index_bytes


async def statements(database: asyncpg.Connection) -> int:
    """Statements of all nodes on this database since it exists."""
    return int(await database.fetchval(_STATEMENTS, CHAIN))


async def tables(database: asyncpg.Connection) -> dict[str, Table]:
    """Those that grow or churn, by name, the largest first."""
    return {row["relname"]: Table(*row) for row in await database.fetch(_TABLES)}


async def wal_bytes(database: asyncpg.Connection) -> float:
    """Position in the log of the whole server."""
    return float(await database.fetchval(_WAL))


def resident_bytes(pid: int) -> int:
    """Memory of one process."""
    return int(psutil.Process(pid).memory_info().rss)


def private_bytes(pid: int) -> int:
    """Memory that the children of a process, PostgreSQL's backends, have for themselves alone."""
    total = 0
    for child in psutil.Process(pid).children(recursive=True):
        try:
            total += int(child.memory_full_info().uss)
        except psutil.NoSuchProcess:
            continue
    return total


def cpu_s(pid: int) -> float:
    """CPU time of one process so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


class Others:
    """CPU of the programs that are neither this process nor descend from it, from now on."""

    def __init__(self) -> None:
        self._begun_s = time.monotonic()
        self._machine_s = _machine_cpu_s()
        self._own_s = _own_cpu_s()

    def share(self) -> float:
        """Of all CPUs: 0 on a machine that does nothing else, 1 if nothing was left."""
        machine_s, own_s = (
            _machine_cpu_s() - self._machine_s,
            sum(used_s - self._own_s.get(pid, 0.0) for pid, used_s in _own_cpu_s().items()),
        )
        passed_s = (time.monotonic() - self._begun_s) * (psutil.cpu_count() or 1)
        return min(1.0, max(0.0, machine_s - own_s) / passed_s)


def _machine_cpu_s() -> float:
    times: Any = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _own_cpu_s() -> dict[int, float]:
    """By process id; of a process that ended since, nothing."""
    found: dict[int, float] = {}
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process.pid] = float(times.user + times.system)
    return found
