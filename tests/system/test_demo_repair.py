"""The demonstration of repairs as its user sees it, with fewer orders."""

import asyncio
import re
import signal
import time
from pathlib import Path

import pytest

from tests.system.demos import processes_in, start_demo
from tests.system.harness import report, until

ORDERS = ("--orders", "300")
TIMEOUT_S = 310.0
"""Longer than the demonstration gives itself, which then says what it waited for."""

pytestmark = pytest.mark.timeout(360)


async def test_one_command_repairs_what_an_outage_left_stuck(tmp_path: Path) -> None:
    began = time.monotonic()
    demo = await start_demo(tmp_path, "repairs", *ORDERS)
    output, _ = await asyncio.wait_for(demo.communicate(), TIMEOUT_S)
    report("the demonstration of repairs took", time.monotonic() - began)
    said = output.decode()
    assert demo.returncode == 0, said
    commands = re.findall(r"^\$ sagactl (\S+)(?: .*)?$", said, re.MULTILINE)
    assert commands == [*("stuck", "participants", "stuck", "explain", "bulk"), *("bulk", "stuck", "audit")]
    assert re.search(r"BLOCKED .* BREAKER_OPEN", said)
    assert "only an operator moves it" in said
    repaired = re.search(r"bulk \S+ on (\d+) sagas?$", said, re.MULTILINE)
    assert repaired, said
    assert int(repaired[1]) > 0
    assert re.search(rf"granted +{repaired[1]}$", said, re.MULTILINE)
    assert "Everything is accounted for" in said
    assert "WRONG" not in said
    assert not processes_in(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_an_operator_who_is_called_away_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    demo = await start_demo(tmp_path, "repairs", *ORDERS)
    assert demo.stdout is not None
    async with asyncio.timeout(120):
        while b"$ sagactl" not in await demo.stdout.readline():
            assert not demo.stdout.at_eof()
    demo.send_signal(number)
    output, _ = await asyncio.wait_for(demo.communicate(), 60)
    assert b"Traceback" not in output
    assert demo.returncode == (-number if number is signal.SIGKILL else 130)

    async def all_gone() -> bool:
        return not processes_in(tmp_path)

    await until(all_gone, 30, f"ended: {processes_in(tmp_path)}")
