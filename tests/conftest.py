"""Fixtures for every test."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

pytest_plugins = ["tests.fixtures.postgres"]

_configure = structlog.configure


def _without_cache(**settings: Any) -> None:
    """A program sets its log up once. Here many do in one process, and no logger may keep what another test set up."""
    _configure(**{**settings, "cache_logger_on_first_use": False})


structlog.configure = _without_cache  # type: ignore[assignment]  # takes whatever the other takes


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Whatever a test makes of the log ends with it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
