"""What every log line and every span of a call carries: the step that it works for, and what the barrier made of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import structlog
from sqlalchemy import URL

from contracts.errors import Reason, RpcError
from contracts.traces.current import CURRENT
from participants.kit.call import StepContext

_STEP: Final[ContextVar[StepContext | None]] = ContextVar("step", default=None)
"""Of the call that this task serves. The task of its transaction inherits it."""


def begin(step: StepContext, phase: str) -> None:
    """The task serves a call of this step from now on."""
    _STEP.set(step)
    span = CURRENT.get()
    if span is not None:
        span.attributes.update(
            {
                "saga.id": str(step.saga_id),
                "saga.step": step.step,
                "saga.phase": phase,
                "saga.attempt": step.attempt,
                "saga.epoch": step.epoch,
            }
        )


def outcome(word: str) -> None:
    """What the barrier made of the call: in lower case, one of a few words."""
    span = CURRENT.get()
    if span is not None:
        span.attributes["saga.barrier.outcome"] = word


def fields(step: StepContext) -> dict[str, str | int]:
    """For a log line."""
    return {"saga_id": str(step.saga_id), "step": step.step, "attempt": step.attempt, "trace_id": step.trace_id}


def add_step(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Processor of structlog: names the step on every line that a call causes, the handler's own lines too."""
    step = _STEP.get()
    if step is not None:
        for name, value in fields(step).items():
            event.setdefault(name, value)
    return event


@contextmanager
def transaction(url: URL, run: int) -> Iterator[None]:
    """The span of a call's transaction, if the call is traced. ``run`` is its number: a deadlock makes another one."""
    span = CURRENT.get()
    if span is None:
        yield
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415  (a start that needs no traces spares it)

    attributes: dict[str, str | int | bool] = {"db.system.name": "postgresql", "saga.transaction.run": run}
    if url.database:
        attributes["db.namespace"] = url.database
    if url.host:
        attributes["server.address"] = url.host
    if url.port:
        attributes["server.port"] = url.port
    with span.child("transaction", SpanKind.CLIENT, attributes, _fails):
        yield


def _fails(error: BaseException) -> bool:
    """Whether a transaction that ended so failed. One that stored a verdict, or that the barrier refused, did not."""
    return not isinstance(error, RpcError) or error.reason == Reason.STORE_UNAVAILABLE
