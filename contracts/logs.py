"""Structured logs: one event a line, JSON for machines or columns for people. No payload and no secret, ever."""

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Final, TextIO, cast

import structlog

from contracts.log_stream import LossyStream
from contracts.tracebacks import QuietFormatter, describe_exception

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


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
    """What libraries log, as lines like our own; exceptions without their texts."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(QuietFormatter("%(message)s"))
        self._log = structlog.get_logger("libraries")

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: a library logs in the middle of its work."""
        try:
            say = self._log.error if record.levelno >= logging.ERROR else self._log.warning
            say("library_said", logger=record.name, message=self.format(record))
        except Exception:
            self.handleError(record)
