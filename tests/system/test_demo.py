"""The demonstration as its user sees it."""

import asyncio
import re
import signal
import time
from pathlib import Path

import pytest

from tests.system.demos import processes_in, start_demo
from tests.system.harness import report, until

TIMEOUT_S = 170.0

pytestmark = pytest.mark.timeout(200)


async def test_demo_accounts_for_everything_and_leaves_no_process(tmp_path: Path) -> None:
    began = time.monotonic()
    demo = await start_demo(tmp_path, "demo")
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
    demo = await start_demo(tmp_path, "demo")
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
