"""Structured logs: one event a line, JSON for machines or columns for people. No payload and no secret, ever."""

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final, TextIO, cast

import structlog

from contracts.log_stream import LossyStream
from contracts.tracebacks import QuietFormatter, describe_exception

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


MAX_LINES_PER_S: Final = 10
"""Of one logger of a library: some write a line whenever a stranger sends them something that is no request."""


def configure_logs(
    level: str,
    *,
    json: bool,
    fields: Mapping[str, str] | None = None,
    processors: Sequence[structlog.types.Processor] = (),
) -> None:
    """Sends every log line to standard error, which leaves standard output to what programs read.

    ``fields`` stand on every line, those of libraries too, unless it has one of the name; ``processors`` add what they
    know of the moment.
    """
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *processors,
            _adding(dict(fields or {})),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Before a renderer shows the texts of exceptions and the variables of their frames, which hold payload.
            describe_exception,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", LossyStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_OfLibraries()], level=max(LEVELS[level], logging.WARNING), force=True)


def _adding(fields: dict[str, str]) -> structlog.types.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        for name, value in fields.items():
            event.setdefault(name, value)
        return event

    return add


class _OfLibraries(logging.Handler):
    """What libraries log, as lines like our own; exceptions without their texts. Of each logger a few lines a second,
    the next one with the number of those left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(QuietFormatter("%(message)s"))
        self._log = structlog.get_logger("libraries")
        self._said: dict[str, tuple[int, int, int]] = {}
        """By logger the second, the lines said in it, and those left out since the last one that was said."""

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: a library logs in the middle of its work."""
        try:
            second = int(time.monotonic())
            since, said, unsaid = self._said.get(record.name, (second, 0, 0))
            said = said if since == second else 0
            if said >= MAX_LINES_PER_S:
                self._said[record.name] = since, said, unsaid + 1
                return
            self._said[record.name] = second, said + 1, 0
            left_out = {"left_out": unsaid} if unsaid else {}
            say = self._log.error if record.levelno >= logging.ERROR else self._log.warning
            say("library_said", logger=record.name, message=self.format(record), **left_out)
        except Exception:
            self.handleError(record)
