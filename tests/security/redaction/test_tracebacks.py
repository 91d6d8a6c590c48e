"""Exceptions reach logs as what they are and where they came from, without a word of their texts."""

import asyncio
import io
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from contracts.logs import configure_logs
from contracts.tracebacks import QuietFormatter, described

CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Other tests log as they did."""
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def fail() -> None:
    try:
        dict[str, str]()[f"{CANARY} as a cause"]
    except KeyError as error:
        raise ValueError(f"{CANARY} as a text") from error


def failure() -> Exception:
    try:
        fail()
    except ValueError as error:
        return error
    raise AssertionError


def test_causes_contexts_and_groups_are_told_by_kind() -> None:
    told = described(ExceptionGroup(f"{CANARY} in a group", [failure(), OSError(CANARY)]))
    for kind in ("ExceptionGroup", "ValueError", "KeyError", "OSError"):
        assert kind in told
    assert "in fail" in told
    assert CANARY not in told
    ring = RuntimeError(CANARY)
    ring.__cause__ = ring
    assert CANARY not in described(ring)


@pytest.mark.parametrize("json", [True, False])
def test_a_program_logs_no_text_of_an_exception(json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("debug", json=json)
    error = failure()
    log = structlog.get_logger("test")
    log.error("given", exc_info=error)
    log.error("triple", exc_info=(type(error), error, error.__traceback__))
    try:
        fail()
    except ValueError:
        log.exception("current")
        logging.getLogger("library").exception("of a library: %s", error)
    said = capsys.readouterr().err
    assert said.count("in fail") >= 4
    assert said.count("KeyError") >= 4
    assert CANARY not in said


def test_what_a_library_has_formatted_before_is_formatted_anew() -> None:
    stream = io.StringIO()
    error = failure()
    record = logging.LogRecord("library", logging.ERROR, __file__, 1, "broken", None, (ValueError, error, None))
    logging.Formatter().format(record)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(QuietFormatter())
    handler.handle(record)
    assert "ValueError" in stream.getvalue()
    assert CANARY not in stream.getvalue()


PROGRAM = f"""
import asyncio, gc
from contracts.logs import configure_logs
from contracts.tracebacks import log_of_loop

async def fail():
    raise ValueError("{CANARY}")

async def main():
    log_of_loop()
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    gc.collect()

configure_logs("debug", json=True)
asyncio.run(main())
"""


async def test_a_task_that_nobody_awaited_is_told_without_its_text() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert b"unhandled_exception" in err
    assert b"ValueError" in err
    assert CANARY.encode() not in out + err
