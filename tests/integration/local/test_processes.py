"""Children: announced, logged, and gone when they should be."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from orchestrator.local.processes import Child, ChildError

SERVE = """
import json, os, signal, sys
def end(number, frame):
    os.write(1, b"more output\\n")  # print may be what it interrupts, and must not be entered twice
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
print("a line that is no announcement", flush=True)
print("an error", file=sys.stderr, flush=True)
print(json.dumps({"pid": os.getpid(), "value": os.environ["VALUE"]}), flush=True)
signal.pause()
"""
DEAF = SERVE.replace("signal.SIGTERM, end", "signal.SIGTERM, signal.SIG_IGN")
PARENT = """
import asyncio, sys
from pathlib import Path
from orchestrator.local.processes import Child
async def main():
    child = await Child("child", ["-c", sys.argv[1]], {"VALUE": "x"}, Path(sys.argv[2])).start(20)
    print(child.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
WAIT_S = 30.0


def child(tmp_path: Path, code: str) -> Child:
    return Child("child", ["-c", code], {"VALUE": "x"}, tmp_path / "log" / "child.log")


async def test_it_announces_itself_and_logs_the_rest(tmp_path: Path) -> None:
    started = await child(tmp_path, SERVE).start(WAIT_S)
    assert started.announcement == {"pid": started.pid, "value": "x"}
    assert started.is_running()
    await started.stop(WAIT_S)
    await started.stop(WAIT_S)
    assert not started.is_running()
    assert await started.wait(WAIT_S) == 7
    assert {"more output", "an error"} <= set(started.log.read_text().splitlines())


async def test_a_deaf_child_is_killed(tmp_path: Path) -> None:
    started = await child(tmp_path, DEAF).start(WAIT_S)
    await started.stop(0.2)
    assert await started.wait(WAIT_S) == -signal.SIGKILL


async def test_a_child_that_ends_before_it_serves_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match=r"exit code 3 before it served; see .*child\.log"):
        await child(tmp_path, "raise SystemExit(3)").start(WAIT_S)


async def test_nobody_waits_for_a_child_that_ended(tmp_path: Path) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    started = await child(tmp_path, SERVE).start(WAIT_S)
    await started.kill()
    with pytest.raises(ChildError, match="before it served"):
        await asyncio.wait_for(started.until(forever()), WAIT_S)


async def test_a_child_that_says_nothing_is_ended(tmp_path: Path) -> None:
    silent = child(tmp_path, "import signal; signal.pause()")
    with pytest.raises(ChildError, match=r"did not serve within 0\.5 s"):
        await silent.start(0.5)
    assert not silent.is_running()


async def test_stopping_what_never_started_is_nothing(tmp_path: Path) -> None:
    await child(tmp_path, SERVE).stop(WAIT_S)


async def test_a_child_ends_with_its_killed_parent(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", PARENT, DEAF, str(tmp_path / "child.log")]
    parent = await asyncio.create_subprocess_exec(
        *arguments, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    )
    assert parent.stdout is not None
    orphan = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.communicate()
    await asyncio.to_thread(psutil.wait_procs, [orphan], WAIT_S)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
