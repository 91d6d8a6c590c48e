"""A node with two tenants, those who belong to none, and people who see more than one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.postgres import DatabaseFactory, connect
from tests.integration.engine.harness import Rig
from tests.security.tenants.town import POLICY, Town, open_town


@pytest.fixture
async def town(fresh_database: DatabaseFactory, tmp_path: Path) -> AsyncIterator[Town]:
    """The node; what was started is stopped. Its sagas of one step wait for a participant that takes its time."""
    url = await fresh_database("orchestrator")
    db = await connect(url)
    rig = Rig(url, db)
    gate = rig.world.gates["take/action"] = asyncio.Event()
    async with open_town(rig, tmp_path, POLICY) as town:
        yield town
        gate.set()
    await rig.stop()
    await db.close()
