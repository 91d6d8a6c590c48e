"""A node that asks who calls."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.postgres import DatabaseFactory, connect
from tests.integration.engine.harness import Rig
from tests.security.access.served import Guarded, guarded_node


@pytest.fixture
async def rig(fresh_database: DatabaseFactory) -> AsyncIterator[Rig]:
    """A fresh database and no node yet; what was started is stopped."""
    url = await fresh_database("orchestrator")
    db = await connect(url)
    rig = Rig(url, db)
    yield rig
    await rig.stop()
    await db.close()


@pytest.fixture
async def guarded(rig: Rig, tmp_path: Path) -> AsyncIterator[Guarded]:
    """One node with the policy of these tests."""
    async with guarded_node(rig, tmp_path) as node:
        yield node
