"""A failover to a standby that had not heard of everything."""

import asyncio
import shutil
import subprocess
from pathlib import Path

from orchestrator.local.postgres import EmbeddedPostgres, binaries
from tests.chaos import checker
from tests.chaos.own_world import own_world
from tests.chaos.proxy import Proxy
from tests.chaos.stage import Stage, fault, must, until
from tests.chaos.world import World
from tests.fixtures.postgres import connect


@fault("F7", "failover to an asynchronous standby that lost commits")
async def lose_commits_at_failover(stage: Stage) -> tuple[int, str]:
    directory = stage.world.directory / "failover"
    async with own_world(stage, directory, split=True) as (world, own):
        await own.two()
        early = [await own.load.place(own.load.order()) for _ in range(10)]
        wire = Proxy(world.postgres_address)
        await wire.start()
        standby = make_standby(world, directory / "standby", wire.port)
        standby.start()
        try:

            async def streaming() -> bool:
                rows = await world.admin("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
                return bool(rows[0][0])

            await until(streaming, 30, "the standby streams")
            await own.ended(early, 20)
            slow = world.live[0]
            for node in world.live:
                node.participants["shipping"].delay_s = 3.0
            under_way = [await own.load.start(slow, own.load.order(), ("brisk-order", 1 + n % 2)) for n in range(10)]
            await asyncio.sleep(1.0)
            wire.deaf = {"up", "down"}  # from here on the standby hears nothing
            lost = [await own.load.place(own.load.order(), ("short-order", 1)) for _ in range(5)]
            await own.ended(lost, 20)
            must(wire.swallowed, "no byte of the log was swallowed")
            world.postgres.kill()
            await promote(standby)
            world.successor = standby
            for node in world.nodes:
                node.database.cut()
            found = await world.sql("orchestrator", "SELECT saga_id::text FROM saga")
            missing = set(lost) - {row["saga_id"] for row in found}
            must(missing, "the standby had lost nothing")
            await world.sql("orchestrator", "UPDATE store_incarnation SET incarnation = incarnation + 1")
            for node in world.live:
                node.participants["shipping"].delay_s = 0
            await world.heal()
            await own.ended(under_way, 60)
            # A caller who was told of a saga that is gone asks again, under the same request_id: it starts anew.
            await own.quiet()
            verdict = await checker.check(world, own.load.told)
            named = [
                line for line in verdict.violations if any(saga_id in line for saga_id in missing) and line[:2] == "I7"
            ]
            orphans = [line for line in verdict.violations if line.startswith("I7: order")]
            must(len(named) == len(missing), "the checker did not name each lost saga")
            if len(orphans) != 2 * len(missing):  # a reservation and a payment each
                stage.wrong(f"F7: {len(orphans)} records without a saga, {len(missing)} sagas were lost")
            for violation in verdict.violations:
                if violation not in (*named, *orphans):
                    stage.wrong(f"F7: {violation}")
            again = await world.sql("inventory", f"SELECT count(*) FROM saga_barrier WHERE epoch >= {1 << 32}")
            must(again[0][0], "no step was called again under the new incarnation")
            stage.say(f"in its own world: {dict(verdict.ends)}; {len(missing)} acknowledged sagas lost, each named")
            return len(
                missing
            ), f"{wire.swallowed} bytes of WAL lost; {len(missing)} acknowledged sagas gone and named; the rest ended"
        finally:
            await wire.stop()
            standby.stop()


def make_standby(world: World, directory: Path, port: int) -> EmbeddedPostgres:
    """A copy of the world's server that follows it through ``port``. Not started."""
    directory.mkdir(parents=True)
    password = (world.postgres.directory / "password").read_text().strip()
    done = subprocess.run(
        [str(binaries() / "pg_basebackup"), "-D", str(directory / "data"), "-R", "-X", "stream", "-c", "fast",
         "-d", f"host=127.0.0.1 port={world.postgres_address()[1]} user=postgres password={password}"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    must(done.returncode == 0, f"no base backup: {done.stderr}")
    shutil.copy(world.postgres.directory / "password", directory / "password")
    follow = f"host=127.0.0.1 port={port} user=postgres password={password}"
    return EmbeddedPostgres(directory, listen_port=0, end_with_process=True, settings={"primary_conninfo": follow})


async def promote(standby: EmbeddedPostgres) -> None:
    """Makes the standby the primary."""
    connection = await connect(standby.url())
    try:
        must(await connection.fetchval("SELECT pg_promote(true, 30)"), "the standby was not promoted")
    finally:
        await connection.close()
