"""One stack for each module of tests."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from orchestrator.local.stack import Stack, StackSettings
from tests.system.harness import Shop


@pytest.fixture(scope="module")
def stack_settings() -> StackSettings:
    """What a module changes about its stack; the directory is set by :func:`shop`."""
    return StackSettings()


@pytest.fixture(scope="module")
async def shop(stack_settings: StackSettings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A shop on a fresh stack. Its logs stay in pytest's temporary directory; the database's files do not."""
    directory = tmp_path_factory.mktemp("stack")
    try:
        async with Stack(replace(stack_settings, directory=directory)) as stack:
            shop = Shop(stack)
            await shop.open()
            yield shop
            await shop.close()
    finally:
        shutil.rmtree(directory / "postgres", ignore_errors=True)
