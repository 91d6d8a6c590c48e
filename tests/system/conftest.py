"""One stack for each module of tests."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url

from orchestrator.local.stack import Stack, StackSettings
from tests.system.harness import Shop

PAYLOAD = ("Lindenallee", "A. Customer", "pm_card_", "CUS-")
"""What every order holds and no log may."""


def passwords(stack: Stack) -> set[str]:
    """Of every role that the processes use."""
    urls = [url for database in stack.databases.values() for url in (database.url, database.owner_url)]
    return {str(make_url(url).password) for url in urls}


def leaks(logs: Path, words: list[str]) -> list[str]:
    """Each log that holds one of the words, and which."""
    texts = {log.name: log.read_text() for log in logs.iterdir()}
    return [f"{name}: {word}" for name, text in texts.items() for word in words if word in text]


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
        assert not leaks(directory / "log", [*PAYLOAD, *passwords(stack)])
    finally:
        shutil.rmtree(directory / "postgres", ignore_errors=True)
