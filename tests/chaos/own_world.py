"""A world beside the stage's, for faults that would cost the stage its database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.chaos import checker
from tests.chaos.load import Load
from tests.chaos.stage import Stage
from tests.chaos.world import World


@asynccontextmanager
async def own_world(stage: Stage, directory: Path, **options: object) -> AsyncIterator[tuple[World, Stage]]:
    """A world beside the stage's, which rests meanwhile."""
    await stage.quiet()
    async with World(directory, stage.world.draw.randrange(1 << 30), **options) as world:  # type: ignore[arg-type]  # handed on
        load = Load(world)
        await load.open()
        try:
            yield world, Stage(world, load, stage.full)
        finally:
            await load.close()


async def conclude(stage: Stage, own: Stage) -> None:
    """Waits for the sagas of another world, judges it, and hands its violations on."""
    await own.quiet()
    verdict = await checker.check(own.world, own.load.told)
    for violation in verdict.violations:
        stage.wrong(f"in its own world: {violation}")
    stage.say(f"in its own world: {dict(verdict.ends)}")
