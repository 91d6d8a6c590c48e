"""Restate's server and one worker process, for one run. Runs in the normal environment; what it starts does not."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers import environments
from benchmarks.processes import POLL_S, START_TIMEOUT_S, TO_LOG, Program, free_ports
from benchmarks.scenarios import Contender

SETTINGS: Final = {
    "default-num-partitions": 1,
    "bifrost.default-provider": '"local"',
}
"""What differs from the server's defaults, chosen by trying: the log of a server that stands alone is written without
the protocol of a replicated one, with the WAL synced all the same, and one partition suits few cores."""

REGISTER_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """``ingress``: URL where callers invoke the saga."""

    ingress: str
    server_pid: int
    worker_pid: int


@asynccontextmanager
async def running(directory: Path, addresses: Mapping[str, str]) -> AsyncIterator[Running]:
    """Starts both with an empty store. Raises ``ProgramError`` and ``OSError``."""
    ports = free_ports(3)
    node, ingress, admin = ports
    base = directory / f"restate-{node}"
    base.mkdir()
    config = base / "restate.toml"
    config.write_text(_config(base, node, ingress, admin))
    binary = environments.program(Contender.RESTATE, "restate-server")
    command = [str(binary), "--config-file", str(config), "--node-name", "bench", "--no-logo"]
    log = directory / "log" / "restate-server.log"
    python = str(environments.python(Contender.RESTATE))
    worker_log = directory / "log" / "restate-worker.log"
    worker_command = [python, "-m", "benchmarks.peers.restate.worker", json.dumps(dict(addresses))]
    async with (
        Program("restate-server", [*TO_LOG, *command], log, end_at_once=True) as server,
        Program("restate-worker", worker_command, worker_log, end_at_once=True) as worker,
    ):
        worker_port = (await worker.said())["port"]
        await server.listens(admin)
        await server.listens(ingress)
        await _register(admin, worker_port)
        yield Running(f"http://127.0.0.1:{ingress}", server.pid, worker.pid)


def _config(base: Path, node: int, ingress: int, admin: int) -> str:
    lines = [f"{name} = {value}" for name, value in SETTINGS.items()]
    return "\n".join(
        [
            *lines,
            f'base-dir = "{base}"',
            'listen-mode = "tcp"',
            f'bind-address = "127.0.0.1:{node}"',
            "disable-telemetry = true",
            f'ingress.bind-address = "127.0.0.1:{ingress}"',
            f'admin.bind-address = "127.0.0.1:{admin}"',
            'log-filter = "warn"',
            "",
        ]
    )


async def _register(admin: int, worker: int) -> None:
    """Tells the server where the worker is; it may take a moment until it can take that in."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}/deployments",
        data=json.dumps({"uri": f"http://127.0.0.1:{worker}", "force": True}).encode(),
        headers={"content-type": "application/json"},
        method="POST",
    )

    def post() -> None:
        urllib.request.urlopen(request, timeout=REGISTER_TIMEOUT_S).close()  # noqa: S310  (loopback)

    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                await asyncio.to_thread(post)
            except OSError:
                await asyncio.sleep(POLL_S)
            else:
                return
