"""The demonstration as its user sees it."""

import asyncio
import os
import re
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.system.harness import report

TIMEOUT_S = 170.0


@pytest.mark.timeout(200)
async def test_demo_accounts_for_everything_and_leaves_no_process(tmp_path: Path) -> None:
    before = set(psutil.pids())
    began = time.monotonic()
    demo = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "orchestrator.local.demo"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(demo.communicate(), TIMEOUT_S)
    report("the demo took", time.monotonic() - began)
    said = output.decode()
    assert demo.returncode == 0, said
    assert re.search(r"kill -9", said)
    assert re.search(r"completed .* \d+", said)
    assert re.search(r"OUT_OF_STOCK", said)
    assert "Everything is accounted for" in said
    assert "WRONG" not in said
    left = [process for process in psutil.process_iter(["pid", "cwd", "cmdline"]) if process.pid not in before]
    of_demo = [process.info for process in left if process.info["cwd"] and str(tmp_path) in process.info["cwd"]]
    assert not of_demo
