"""Logs keep what passes through the program to themselves."""

import json as json_format
import logging
from collections.abc import Iterator

import pytest
import structlog

from contracts.logs import configure_logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Other tests log as they did."""
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def fail_with_payload() -> None:
    card = "pm_card_" + "secret"
    if card:
        raise ValueError(f"{card} was declined")


@pytest.mark.parametrize("json", [True, False])
def test_a_traceback_names_places_and_shows_neither_variables_nor_texts(
    json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", json=json)
    try:
        fail_with_payload()
    except ValueError:
        structlog.get_logger(__name__).exception("saga_defect", saga_id="1")
    said = capsys.readouterr().err
    assert "fail_with_payload" in said
    assert "ValueError" in said
    assert "pm_card_secret" not in said
    if json:
        assert json_format.loads(said)["event"] == "saga_defect"
