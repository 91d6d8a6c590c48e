"""Temporal's development server, for one run. Runs in the normal environment; the worker is in the caller's process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers import environments
from benchmarks.processes import TO_LOG, Program, free_ports
from benchmarks.scenarios import Contender

DYNAMIC: Final = {
    "frontend.rps": 100_000,
    "frontend.namespaceRPS": 100_000,
    "frontend.namespaceCount": 100_000,
    "history.rps": 100_000,
    "matching.rps": 100_000,
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    "system.enableEagerWorkflowStart": "true",
    "system.enableActivityEagerExecution": "true",
}
"""Limits of rates out of the way, no forwarding between partitions of one queue, and eager dispatch."""

PRAGMAS: Final = ("journal_mode=wal", "synchronous=normal")


@dataclass(frozen=True, slots=True)
class Running:
    """``address`` of the frontend."""

    address: str
    server_pid: int


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Running]:
    """Starts it with an empty store. Raises ``ProgramError``."""
    port, http, metrics = free_ports(3)
    database = directory / f"temporal-{port}.sqlite"
    binary = environments.program(Contender.TEMPORAL, "temporal")
    command = [str(binary), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--http-port", str(http), "--metrics-port", str(metrics), "--log-level", "error"]
    command += ["--db-filename", str(database)]
    for pragma in PRAGMAS:
        command += ["--sqlite-pragma", pragma]
    for name, value in DYNAMIC.items():
        command += ["--dynamic-config-value", f"{name}={value}"]
    address = f"127.0.0.1:{port}"
    log = directory / "log" / "temporal-server.log"
    async with Program("temporal-server", [*TO_LOG, *command], log, end_at_once=True) as server:
        await server.listens(port)
        yield Running(address, server.pid)
