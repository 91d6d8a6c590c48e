"""Faults of the machine: disks that fail or fill, clocks that jump, lossy failover, certificates that lapse."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from orchestrator.local.stack import SERVICES
from tests.chaos.own_world import conclude, own_world
from tests.chaos.stage import NotFiredError, Stage, fault, must, until
from tests.chaos.tls import Authority, TlsFront
from tests.chaos.world import World

FAKETIME: Final = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
HOUR_S: Final = 3600
LIFETIME_S: Final = 3
TMPFS_MIB: Final = 256

# ruff: noqa: ASYNC221, ASYNC240  (small files and quick commands, and nothing else has to go on meanwhile)


@fault("F5", "fdatasync fails (EIO)", short=True)
async def fail_fdatasync(stage: Stage) -> tuple[int, str]:
    strace = shutil.which("strace")
    must(strace, "strace is not installed")
    world = stage.world
    injected = 0
    for number in range(3 if stage.full else 1):
        await stage.two()
        trace = world.directory / f"strace-{number}"
        postmaster = psutil.Process(world.postgres.pid)
        targets = [
            argument for process in (postmaster, *postmaster.children()) for argument in ("-p", str(process.pid))
        ]
        tracer = await asyncio.create_subprocess_exec(
            str(strace), "-f", "-o", str(trace), *targets,
            "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO",
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

        async def seen(trace: Path = trace) -> bool:
            return trace.exists() and "(INJECTED)" in trace.read_text(errors="replace")

        orders = [asyncio.create_task(stage.load.place(stage.load.order())) for _ in range(10)]
        try:
            await until(seen, 20, "an fdatasync failed")
        finally:
            with suppress(ProcessLookupError):
                tracer.send_signal(signal.SIGINT)
            await asyncio.wait_for(tracer.wait(), 10)
        injected += trace.read_text(errors="replace").count("(INJECTED)")
        await until_recovered(world)
        await stage.ended(await asyncio.gather(*orders), 60)
    panics = world.postgres.log.read_text(errors="replace").count("PANIC:  could not fdatasync")
    must(panics, "the server did not tell of a failed fdatasync")
    return injected, f"{injected} calls failed by strace's own record, {panics} PANICs in the server's log"


async def until_recovered(world: World) -> None:
    """Waits for a server that crashed, and starts it again if it has given up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            await world.admin("SELECT 1")
            return
        except Exception:
            await asyncio.sleep(0.3)
            if not psutil.pid_exists(world.postgres.pid):
                world.postgres.restart()
    raise AssertionError("the database did not come back")


@fault("F15", "a node's clock jumps or drifts", short=True)
async def fake_time(stage: Stage) -> tuple[int, str]:
    must(FAKETIME, "libfaketime is not installed")
    world = stage.world
    shifts = []
    for number, offset in enumerate((HOUR_S, -HOUR_S) if stage.full else (HOUR_S,)):
        await world.heal()
        file = world.directory / f"faketime-{number}"
        file.write_text("+0\n")
        node = await world.start_node(
            {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            },
            failpoints="store.renew.before=note@*",
        )
        saga_ids = [await stage.load.start(node, stage.load.order()) for _ in range(10)]
        file.write_text(f"{offset:+d}\n")  # the jump, while they are under way

        async def jumped(node_fired: object = node.fired, offset: int = offset) -> bool:
            told = node_fired()  # type: ignore[operator]  # a bound method
            return bool(told) and abs(told[-1]["at"] - time.time() - offset) < 60

        await until(jumped, 10, "the node's wall clock had jumped")
        shifts.append(node.fired()[-1]["at"] - time.time())
        began = time.monotonic()
        while time.monotonic() - began < 5:  # longer than the lease
            saga_ids.append(await stage.load.start(node, stage.load.order("undeliverable")))
            await asyncio.sleep(0.25)
        rows = await world.sql(
            "orchestrator", "SELECT fenced_at FROM node_fence WHERE node_id::text = $1", node.node_id
        )
        if not rows or rows[0]["fenced_at"] is not None:
            stage.wrong("F15: a node whose wall clock jumped was fenced")
        await stage.ended(saga_ids, 30)
        await node.child.stop(20)
    return len(shifts), f"wall clocks were off by {', '.join(f'{shift:+.0f} s' for shift in shifts)}, no lease was lost"


@fault("F16", "disk full")
async def fill_disk(stage: Stage) -> tuple[int, str]:
    must(os.geteuid() == 0, "a small tmpfs needs root")
    directory = stage.world.directory / "small"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MIB}m", "tmpfs", str(directory)], check=False)
    must(mounted.returncode == 0, "no tmpfs could be mounted")
    try:
        return await _fill_disk(stage, directory)
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=False)


async def _fill_disk(stage: Stage, directory: Path) -> tuple[int, str]:
    small = {"max_wal_size": "48MB", "min_wal_size": "32MB", "shared_buffers": "8MB"}
    async with own_world(stage, directory, postgres=small) as (world, own):
        await own.two()
        for _ in range(5):
            await own.load.place(own.load.order())
        ballast = directory / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
        placing = [asyncio.create_task(own.load.place(own.load.order())) for _ in range(600)]

        async def full() -> bool:
            return "No space left on device" in world.postgres.log.read_text(errors="replace")

        try:
            await until(full, 60, "the server ran out of space")
        except AssertionError as error:
            raise NotFiredError(str(error)) from error
        await asyncio.sleep(3)
        acknowledged = len(own.load.told.acknowledged)
        ballast.unlink()
        began = time.monotonic()
        await until_recovered(world)
        await world.heal()
        await asyncio.wait_for(asyncio.gather(*placing), 120)
        told = world.postgres.log.read_text(errors="replace").count("No space left on device")
        await conclude(stage, own)
        took = time.monotonic() - began
        return (
            told,
            f"{told} times no space; {acknowledged} of 605 sagas acknowledged before, all ended {took:.0f} s after",
        )


@fault("F24", "certificates expire or rotate", short=True)
async def lapse_certificates(stage: Stage) -> tuple[int, str]:
    world = stage.world
    await world.heal()
    directory = world.directory / "tls"
    authority = Authority(directory)
    front = TlsFront(world.participants["inventory"].address, authority)
    await front.start()
    try:
        address = {
            "address": f"127.0.0.1:{front.port}",
            "tls": {"ca_file": str(authority.ca), "server_name": "participant.test"},
        }
        others = {
            service: [world.participants[name].address] for name, service in SERVICES.items() if name != "inventory"
        }
        node = await world.start_node(
            {"ORCHESTRATOR_PARTICIPANTS": json.dumps({SERVICES["inventory"]: [address], **others})}
        )
        front.renew(LIFETIME_S)
        saga_ids = [await stage.load.start(node, stage.load.order()) for _ in range(5)]
        await stage.ended(saga_ids, 20)
        must(front.handshakes, "no connection was made with a valid certificate")
        await asyncio.sleep(max(0.0, front.expires_at - time.time()) + 1.2)
        front.cut()
        before = front.handshakes
        waiting = [await stage.load.start(node, stage.load.order()) for _ in range(5)]

        async def refused() -> bool:
            return front.failures > 0

        await until(refused, 15, "a connection with a lapsed certificate was refused")
        if front.handshakes != before or await stage.live_of(waiting) != len(waiting):
            stage.wrong("F24: a node spoke to a server whose certificate had lapsed")
        failures = front.failures
        front.renew(HOUR_S)
        await stage.ended(waiting, 30)
        await node.child.stop(20)
        return failures, f"{failures} handshakes refused over a certificate of 3 s; sagas went on once it was renewed"
    finally:
        await front.stop()
