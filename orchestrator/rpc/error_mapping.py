"""Where exceptions of the engine and the definitions become statuses. Every message says what to do next."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn
from uuid import UUID

import grpc
import structlog

from contracts.errors import Reason, RpcError
from contracts.rules import Violation
from orchestrator.core.events import Failure
from orchestrator.definitions.errors import BuilderError, ConcurrencyKeyError, PayloadError
from orchestrator.engine.api import Draining, OverCapacity, Standing
from orchestrator.engine.ports import (
    MAX_REQUESTS_PER_SAGA,
    NodeFenced,
    RequestReused,
    StoreUnavailable,
    TooManyRequests,
)

_STORE_RETRY_S: Final = 1.0
_NODE_RETRY_S: Final = 0.5
_MAX_VIOLATIONS: Final = 32
_MAX_QUOTED_CHARS: Final = 300
"""Of a participant's words: a status travels in trailers, twice, and clients refuse large ones."""

READING: Final = "nothing was changed; repeat the call"
"""Advice after a read that did not get through."""
STARTING: Final = (
    "whether the saga was started is unknown; repeat the call with the same request_id: it starts one saga at the most"
)
"""Advice after a start whose outcome is unknown."""
CANCELLING: Final = "whether the request was stored is unknown; repeat the call with the same request_id"
"""Advice after a cancellation whose outcome is unknown."""

_log = structlog.get_logger(__name__)


@contextmanager
def engine_errors(advice: str, saga_id: UUID | None = None) -> Iterator[None]:
    """Turns what the engine raises within the block into :class:`RpcError`; other exceptions pass.

    ``advice`` tells the caller what holds after an unknown outcome; ``saga_id`` is named if it is known already.
    """
    try:
        yield
    except (StoreUnavailable, NodeFenced, OverCapacity, Draining) as error:
        raise _unavailable(error, advice, {} if saga_id is None else {"saga_id": str(saga_id)}) from error
    except RequestReused as error:
        text = "this request_id asked for something else before; use a new request_id for a new request"
        raise RpcError(grpc.StatusCode.ALREADY_EXISTS, Reason.REQUEST_ID_REUSED, text) from error
    except TooManyRequests as error:
        text = (
            f"the saga has been sent {MAX_REQUESTS_PER_SAGA} requests, as many as it takes, and this one was not "
            "stored; repeat an earlier one with its own request_id, or see with GetSaga where the saga stands"
        )
        raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.TOO_MANY_REQUESTS, text) from error
    except (PayloadError, ConcurrencyKeyError) as error:
        raise invalid("input", str(error)) from error
    except BuilderError as error:
        # Without the traceback, whose frames hold the payload.
        _log.error("definition_failed", saga=error.saga, phase=error.phase, reason=error.reason)
        text = f"a defect of the definition {error.saga} ended the call; the log of this server has the details"
        raise RpcError(grpc.StatusCode.INTERNAL, Reason.INTERNAL, text) from error


def _unavailable(error: Exception, advice: str, metadata: dict[str, str]) -> RpcError:
    if isinstance(error, OverCapacity):
        return over_capacity(error)
    reason, delay_s = Reason.STORE_UNAVAILABLE, _STORE_RETRY_S
    if isinstance(error, Draining):
        reason, delay_s = Reason.NODE_DRAINING, _NODE_RETRY_S
        text = (
            "this node is shutting down or holds no lease, and nothing was stored; "
            "repeat the call at another node with the same request_id"
        )
    elif isinstance(error, NodeFenced):
        text = f"this node lost its lease; {advice}"
    else:
        text = f"the store did not answer; {advice}"
    return RpcError(grpc.StatusCode.UNAVAILABLE, reason, text, metadata=metadata, retry_delay_s=delay_s)


def over_capacity(error: OverCapacity) -> RpcError:
    """RESOURCE_EXHAUSTED: there are more starts than the node can serve."""
    text = "this node has taken on as much as it may, and nothing was stored; repeat the call after the delay"
    return RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVER_CAPACITY, text, retry_delay_s=error.retry_delay_s)


def invalid(field: str, description: str) -> RpcError:
    """INVALID_ARGUMENT for one field, by its path in the request."""
    violation = Violation(field, description)
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_REQUEST, f"{field}: {description}", violations=[violation]
    )


def invalid_input(broken: Sequence[Violation]) -> RpcError:
    """INVALID_ARGUMENT for a saga's input that breaks rules of its contract; the paths start with ``input``."""
    named = [Violation(f"input.{each.field}", each.description) for each in broken[:_MAX_VIOLATIONS]]
    more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
    text = f"{named[0].field} {named[0].description}{more}"
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_REQUEST, text, violations=named)


def refuse_nul(field: str, text: str) -> None:
    """Raises INVALID_ARGUMENT if the text holds a NUL: the store's type for text has no such character."""
    if "\0" in text:
        raise invalid(field, "must not hold a NUL character")


def saga_not_found(saga_id: str) -> RpcError:
    """NOT_FOUND for a saga."""
    text = f"no saga has the id {saga_id}; check the id, and that its caller keeps sagas in this database"
    return RpcError(grpc.StatusCode.NOT_FOUND, Reason.SAGA_NOT_FOUND, text, metadata={"saga_id": saga_id})


def definition_not_found(name: str, version: int, loaded: list[int]) -> RpcError:
    """NOT_FOUND for a definition; ``loaded`` are the versions of that name that this node has."""
    what = f"{name} v{version}" if version else name
    has = f"it has {', '.join(f'v{each}' for each in sorted(loaded))}" if loaded else "it has no version of that name"
    text = f"no definition {what} is loaded by this node ({has}); ask for one that is, or load it"
    return RpcError(grpc.StatusCode.NOT_FOUND, Reason.DEFINITION_NOT_FOUND, text)


def start_conflict(kind: str, saga_id: UUID) -> NoReturn:
    """Raises ALREADY_EXISTS for what ``Started.conflict`` says."""
    if kind == "concurrency_key":
        reason = Reason.CONCURRENCY_KEY_HELD
        text = f"saga {saga_id} holds the concurrency key of this input; wait for its end, then start again"
    else:
        assert kind == "request_id", kind
        reason = Reason.REQUEST_ID_REUSED
        what = f"this request_id started saga {saga_id} with another payload, or for another tenant"
        text = f"{what}; use a new request_id for a new saga"
    raise RpcError(grpc.StatusCode.ALREADY_EXISTS, reason, text, metadata={"saga_id": str(saga_id)})


_INSTEAD: Final = {
    Reason.PAST_PIVOT: "it ends by itself: wait for it with WaitSaga, and reverse its result by a saga of its own",
    Reason.SAGA_STATE: "see with GetSaga where it stands",
}


def cancel_refused(saga_id: UUID, refusal: Failure) -> RpcError:
    """FAILED_PRECONDITION: the saga cannot turn around, and what can be done instead."""
    reason = Reason.PAST_PIVOT if refusal.reason == Reason.PAST_PIVOT else Reason.SAGA_STATE
    text = f"saga {saga_id} was not cancelled: {refusal.message[:_MAX_QUOTED_CHARS]}; {_INSTEAD[reason]}"
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, reason, text, metadata={"saga_id": str(saga_id)})


def outcome_pending(saga_id: UUID, advice: str) -> RpcError:
    """DEADLINE_EXCEEDED: nothing was decided in the time that there was."""
    text = f"saga {saga_id}: {advice}"
    return RpcError(grpc.StatusCode.DEADLINE_EXCEEDED, Reason.OUTCOME_PENDING, text, metadata={"saga_id": str(saga_id)})


def watch_interrupted(saga_id: UUID, advice: str) -> RpcError:
    """UNAVAILABLE: the stream ends before its saga, for the node's sake."""
    text = f"this node stops following saga {saga_id}, which goes on; turn to another node: {advice}"
    metadata = {"saga_id": str(saga_id)}
    return RpcError(
        grpc.StatusCode.UNAVAILABLE, Reason.NODE_DRAINING, text, metadata=metadata, retry_delay_s=_NODE_RETRY_S
    )


def saga_compensated(standing: Standing) -> RpcError:
    """FAILED_PRECONDITION for the caller of a front door: everything was undone, and why."""
    failure = standing.failure
    metadata = {
        "saga_id": str(standing.saga_id),
        "failed_step": standing.failed_step or "",
        "failure_reason": failure.reason if failure else "",
    }
    text = f"saga {standing.saga_id} was undone"
    if failure is not None:
        where = f"step {standing.failed_step} failed with " if standing.failed_step else ""
        text += f": {where}{failure.reason or 'no reason'} ({failure.message[:_MAX_QUOTED_CHARS]})"
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, Reason.SAGA_COMPENSATED, text, metadata=metadata)
