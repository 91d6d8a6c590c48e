"""Exceptions for logs: what happened and where, without their texts, which may quote rows, requests and addresses."""

import asyncio
import logging
import sys
import traceback
from typing import Any, Final

import structlog

_MAX_CAUSES: Final = 8
"""Of one exception, and exceptions of one group, that are told."""

_log = structlog.get_logger(__name__)


def kinds(error: BaseException) -> str:
    """The names of the exception and of what caused it."""
    return " from ".join(type(each).__qualname__ for each in _causes(error))


def frames(error: BaseException) -> str:
    """Where the exception was raised."""
    return "".join(traceback.format_tb(error.__traceback__))


def described(error: BaseException) -> str:
    """The exception with what caused it, the first cause first, and the exceptions that it groups."""
    told = [f"{frames(each)}{type(each).__qualname__}" for each in reversed(_causes(error))]
    if isinstance(error, BaseExceptionGroup):
        told += [f"in the group: {described(each)}" for each in error.exceptions[:_MAX_CAUSES]]
    return "\n".join(told)


def describe_exception(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Processor of structlog: puts the exception of a line in words, before a renderer does it with all its texts."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else given[1] if isinstance(given, tuple) else None
    if given is True:
        error = sys.exc_info()[1]
    if error is not None:
        event["exception"] = described(error)
    return event


class QuietFormatter(logging.Formatter):
    """Of what libraries log: exceptions are described, also where one is an argument of the message."""

    def formatException(self, ei: Any) -> str:  # noqa: N802  (the name that logging calls)
        """See :func:`described`."""
        return "" if ei[1] is None else described(ei[1])

    def format(self, record: logging.LogRecord) -> str:
        """The line, without the text that another formatter may have left in the record."""
        record.exc_text = None
        if isinstance(record.args, tuple):
            record.args = tuple(kinds(each) if isinstance(each, BaseException) else each for each in record.args)
        return super().format(record)


def log_of_loop() -> None:
    """Has the running loop log what nobody awaited; by default it writes the exception's text, and more than that."""
    asyncio.get_running_loop().set_exception_handler(_unawaited)


def _unawaited(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    _log.error("unhandled_exception", what=context.get("message", ""), exc_info=error)


def _causes(error: BaseException) -> list[BaseException]:
    """The exception, and what it came from."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < _MAX_CAUSES:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain
