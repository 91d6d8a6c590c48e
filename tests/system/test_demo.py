"""The demonstration as its user sees it."""

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.system.harness import report, until

TIMEOUT_S = 170.0

pytestmark = pytest.mark.timeout(200)


async def start_demo(directory: Path) -> asyncio.subprocess.Process:
    """The demonstration, run where a test may look at what it leaves behind."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "orchestrator.local.demo"),
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def processes_in(directory: Path) -> list[str]:
    """Command lines of everything that runs there: nodes, participants and PostgreSQL do."""
    found = psutil.process_iter(["cwd", "cmdline", "status"])
    return [
        " ".join(process.info["cmdline"] or [])
        for process in found
        if (process.info["cwd"] or "").startswith(str(directory)) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


async def test_demo_accounts_for_everything_and_leaves_no_process(tmp_path: Path) -> None:
    began = time.monotonic()
    demo = await start_demo(tmp_path)
    output, _ = await asyncio.wait_for(demo.communicate(), TIMEOUT_S)
    report("the demo took", time.monotonic() - began)
    said = output.decode()
    assert demo.returncode == 0, said
    assert re.search(r"kill -9", said)
    assert re.search(r"completed .* \d+", said)
    assert re.search(r"OUT_OF_STOCK", said)
    assert "Everything is accounted for" in said
    assert "WRONG" not in said
    assert not processes_in(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_demo_that_is_cut_short_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    demo = await start_demo(tmp_path)
    assert demo.stdout is not None
    async with asyncio.timeout(60):
        while b"The stack is up" not in await demo.stdout.readline():
            assert not demo.stdout.at_eof()
    assert len(processes_in(tmp_path)) > 6  # the demo, two nodes, three participants, PostgreSQL
    demo.send_signal(number)
    output, _ = await asyncio.wait_for(demo.communicate(), 60)
    assert b"Traceback" not in output
    assert demo.returncode == (-number if number is signal.SIGKILL else 130)

    async def all_gone() -> bool:
        return not processes_in(tmp_path)

    await until(all_gone, 30, f"ended: {processes_in(tmp_path)}")
