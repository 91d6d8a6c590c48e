"""More callers than a node can serve: ``python -m tests.system.overload --seconds 60``. Prints a line of JSON.

One node with trivial participants, and callers that share its machine. First what it can do, in a closed loop; then an
open loop at twice that, by callers that honour RetryInfo and by such that do not; a burst; and what it can do
afterwards. Every share is of what was measured in the same run.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import uvloop

from orchestrator.local.databases import provide
from orchestrator.local.health import wait_until_serving
from orchestrator.local.postgres import EmbeddedPostgres
from orchestrator.local.processes import Child
from orchestrator.local.stack import SERVICES
from tests.system.open_loop import Callers, Load, Manners, quantile

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
IN_FLIGHT: Final = 64
PEAK_S: Final = 5.0
BURST: Final = 5000
CROWD: Final = 512
"""Callers in a closed loop that a node should serve without turning any away."""
BURST_TIMEOUT_S: Final = 15.0
PHASES: Final = [*Manners, "crowd", "burst"]


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Child]:
    """A node, its database and its participants; ``address`` stands in the node's announcement."""
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres(directory / "postgres", listen_port=0, end_with_process=True))
        database = await provide(postgres, "orchestrator")
        participants = await _child(stack, directory, "trivial", ["-m", "benchmarks.trivial"], {})
        where = [f"127.0.0.1:{participants.announcement['port']}"]
        environment = {
            "DATABASE_URL": database.url,
            "ORCHESTRATOR_DATABASE_URL": database.url,
            "ORCHESTRATOR_LISTEN_ADDRESS": "127.0.0.1:0",
            "ORCHESTRATOR_DEFINITIONS": json.dumps(["orchestrator.definitions.shipped.place_order_v1"]),
            "ORCHESTRATOR_PARTICIPANTS": json.dumps(dict.fromkeys(SERVICES.values(), where)),
        }
        node = await _child(stack, directory, "node", ["-m", "orchestrator.cli.server", "serve"], environment)
        await wait_until_serving(str(node.announcement["address"]), START_TIMEOUT_S)
        yield node


async def _child(
    stack: AsyncExitStack, directory: Path, name: str, arguments: list[str], environment: dict[str, str]
) -> Child:
    child = Child(name, arguments, environment, directory / "log" / f"{name}.log")
    stack.push_async_callback(child.stop, STOP_TIMEOUT_S)
    return await child.start(START_TIMEOUT_S)


async def measure(directory: Path, seconds: float, phases: list[str]) -> dict[str, Any]:
    """Everything, as numbers: rates per second, times in seconds, memory in MiB."""
    async with running(directory) as node:
        callers = Callers(str(node.announcement["address"]))

        async def rate(seconds: float, in_flight: int = IN_FLIGHT) -> float:
            return (await callers.closed_loop(in_flight, seconds)).ends["ok"] / seconds

        try:
            await rate(PEAK_S / 2)
            found: dict[str, Any] = {"peak": await rate(PEAK_S), "rss_before": _rss(node)}
            for name in phases:
                before = await rate(PEAK_S)  # others use the machine, too
                if name == "burst":
                    load = await callers.burst(BURST, BURST_TIMEOUT_S)
                elif name == "crowd":
                    load = await callers.closed_loop(CROWD, seconds)
                else:
                    load = await callers.open_loop(2 * before, seconds, Manners(name))
                found[name] = told(load) | {"rss": _rss(node), "before": before, "after": await rate(PEAK_S / 2)}
                found[name]["share"] = found[name]["goodput"] / ((before + found[name]["after"]) / 2)
            found["after"] = await rate(PEAK_S)
            found["rss_after"] = _rss(node)
        finally:
            await callers.close()
    return found


def told(load: Load) -> dict[str, Any]:
    """The numbers of a phase."""
    return {
        "goodput": (load.in_time or load.ends["ok"]) / (load.seconds or 1.0),
        "ends": dict(load.ends),
        "calls": load.calls,
        "refusals": len(load.refused_in_s),
        "p50": quantile(0.5, load.latencies_s),
        "p99": quantile(0.99, load.latencies_s),
        "refused_p50": quantile(0.5, load.refused_in_s),
        "refused_p99": quantile(0.99, load.refused_in_s),
        "delay_p50": quantile(0.5, load.delays_s),
        "delay_max": quantile(1.0, load.delays_s),
    }


def _rss(node: Child) -> float:
    return float(psutil.Process(node.pid).memory_info().rss) / (1 << 20)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each open loop (default: 60)")
    parser.add_argument("--phases", nargs="+", default=["honours", "ignores", "burst"], choices=PHASES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overload-") as directory:
        found = uvloop.run(measure(Path(directory), arguments.seconds, arguments.phases))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
