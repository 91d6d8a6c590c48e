"""Background services end when they are told to, whatever else happens in that moment."""

import asyncio
import random
import time
from typing import Any, cast
from uuid import uuid4

import pytest

from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import Store
from orchestrator.engine.settings import EngineSettings
from orchestrator.engine.takeover import Takeover, TakeoverHost


class Nobody:
    """A node without a lease: takeover has nothing to do but wait."""

    node_id = None


async def test_a_takeover_woken_in_the_moment_of_its_end_ends() -> None:
    takeover = Takeover(
        cast("Store", None),
        EngineSettings(poll_interval_s=30.0),
        cast("TakeoverHost", Nobody()),
        definition_ids=[1],
        on_fenced=lambda _: None,
        monotonic_s=time.monotonic,
        uniform=random.uniform,
        observer=Observer(),
    )
    service: asyncio.Task[Any] = asyncio.create_task(takeover.run())
    await asyncio.sleep(0)
    takeover.note_progress(uuid4())
    takeover.wake()
    service.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await service
