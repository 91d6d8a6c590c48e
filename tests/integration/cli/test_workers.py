"""The supervisor of workers: small programs stand in for nodes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import psutil
import pytest

from orchestrator.cli import workers as subject
from orchestrator.cli.workers import Served, Worker, WrongStartError, supervise

SERVES = """
import json, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(json.dumps({"node_id": f"node of {os.getpid()}"}), flush=True)
sys.stdin.read()
"""
DEAF = SERVES.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN").replace("sys.stdin.read()", "signal.pause()")
TIMEOUT_S = 20.0


def worker(number: int, program: str) -> Worker:
    return Worker(number, ("-c", program), {})


async def until(condition: Callable[[], object]) -> None:
    """Waits for a condition that no event announces."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  (as said)
            await asyncio.sleep(0.01)


def pid(worker: Worker) -> int:
    assert worker.who is not None
    return worker.who.pid


async def kill_and_await_the_next(worker: Worker) -> None:
    died = pid(worker)
    os.kill(died, signal.SIGKILL)
    await until(lambda: pid(worker) != died)


@asynccontextmanager
async def supervised(
    workers: Sequence[Worker], stop_timeout_s: float = TIMEOUT_S
) -> AsyncIterator[tuple[list[list[Served]], Callable[[], asyncio.Task[bool]]]]:
    """What was announced, and a way to stop it."""
    announced: list[list[Served]] = []
    stopping = asyncio.Event()
    task = asyncio.create_task(supervise(workers, announced.append, stopping=stopping, stop_timeout_s=stop_timeout_s))

    def stop() -> asyncio.Task[bool]:
        stopping.set()
        return task

    try:
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(each.served.wait() for each in workers))
        await until(lambda: announced)
        yield announced, stop
    finally:
        stopping.set()
        await asyncio.gather(task, return_exceptions=True)


async def test_all_are_announced_once_and_end_when_asked() -> None:
    workers = [worker(number, SERVES) for number in range(3)]
    async with supervised(workers) as (announced, stop):
        (served,) = announced
        assert [each.node_id for each in served] == [f"node of {each.pid}" for each in served]
        assert len({each.pid for each in served}) == 3
        assert await stop()
    assert not [each for each in served if psutil.pid_exists(each.pid)]
    assert len(announced) == 1


async def test_one_that_dies_is_started_again_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "FIRST_RESTART_S", 0.01)
    workers = [worker(number, SERVES) for number in range(2)]
    async with supervised(workers) as (announced, stop):
        first, second = announced[0]
        for _ in range(2):
            await kill_and_await_the_next(workers[0])
        assert workers[1].who == second
        assert workers[0].who != first
        assert await stop()
    assert len(announced) == 1


async def test_one_that_does_not_end_is_killed() -> None:
    async with supervised([worker(1, DEAF), worker(2, SERVES)], stop_timeout_s=0.2) as (announced, stop):
        assert not await stop()
        assert not [each for each in announced[0] if psutil.pid_exists(each.pid)]


async def test_a_wrong_start_is_not_tried_again() -> None:
    workers = [worker(1, "raise SystemExit(2)"), worker(2, SERVES)]
    with pytest.raises(WrongStartError) as caught:
        await supervise(workers, lambda _: None, stopping=asyncio.Event(), stop_timeout_s=TIMEOUT_S)
    assert caught.value.code == 2
    assert workers[1].who is None, "what is wrong with the settings is said once"


async def test_a_signal_before_all_serve_ends_those_that_began() -> None:
    stopping = asyncio.Event()
    never = worker(1, "import sys; sys.stdin.read()")
    task = asyncio.create_task(supervise([never], lambda _: None, stopping=stopping, stop_timeout_s=TIMEOUT_S))
    await until(psutil.Process().children)
    stopping.set()
    assert await task
