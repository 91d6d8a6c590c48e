"""Structured logs: one event a line, JSON for machines or columns for people. No payload and no secret, ever."""

import logging
import sys
from typing import Final, TextIO, cast

import structlog

from contracts.log_stream import LossyStream
from contracts.tracebacks import describe_exception, log_of_libraries

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logs(level: str, *, json: bool) -> None:
    """Sends every log line to standard error, which leaves standard output to what programs read."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Before a renderer shows the texts of exceptions and the variables of their frames, which hold payload.
        describe_exception,
    ]
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", LossyStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    log_of_libraries(LEVELS[level])
