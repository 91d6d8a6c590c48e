"""One rig a test."""

from collections.abc import AsyncIterator

import pytest

from tests.fixtures.postgres import DatabaseFactory, connect
from tests.integration.engine.harness import Rig


@pytest.fixture
async def rig(fresh_database: DatabaseFactory) -> AsyncIterator[Rig]:
    """A fresh database and no node yet; what was started is stopped."""
    url = await fresh_database("orchestrator")
    db = await connect(url)
    rig = Rig(url, db)
    yield rig
    await rig.stop()
    await db.close()
