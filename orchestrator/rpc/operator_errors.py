"""Where what operators' use-cases raise and refuse becomes a status. Every message says what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import grpc

from contracts.errors import Reason, RpcError
from orchestrator.core.events import Failure
from orchestrator.operations.acting import DefinitionMissing, StepUnknown
from orchestrator.rpc.error_mapping import engine_errors, outcome_pending, saga_not_found

ACTING: Final = "whether the request was stored is unknown; repeat the call with the same request_id"
"""Advice after an action whose outcome is unknown."""
_PENDING: Final = "the request is stored and was not decided in time; repeat the call with the same request_id"
_CODES: Final = {
    Reason.VERSION_CHANGED: grpc.StatusCode.ABORTED,
    Reason.STEP_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.PAST_PIVOT: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.TOO_MANY_REQUESTS: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@contextmanager
def action_errors(saga_id: UUID, advice: str) -> Iterator[None]:
    """Turns what the use-cases raise within the block into :class:`RpcError`."""
    with engine_errors(advice, saga_id):
        try:
            yield
        except KeyError:
            raise saga_not_found(str(saga_id)) from None
        except StepUnknown as error:
            metadata = {"saga_id": str(saga_id)}
            raise RpcError(grpc.StatusCode.NOT_FOUND, Reason.STEP_NOT_FOUND, str(error), metadata=metadata) from error
        except DefinitionMissing as error:
            text = f"{error} is not loaded by this node, which cannot tell what the action does; ask a node that has it"
            raise RpcError(grpc.StatusCode.NOT_FOUND, Reason.DEFINITION_NOT_FOUND, text) from error
        except TimeoutError:
            raise outcome_pending(saga_id, _PENDING) from None


def action_refused(saga_id: UUID, refusal: Failure) -> RpcError:
    """ABORTED, FAILED_PRECONDITION or NOT_FOUND: the action was not done, and why."""
    known = refusal.reason in Reason.__members__
    reason = Reason(refusal.reason) if known else Reason.SAGA_STATE
    code = _CODES.get(reason, grpc.StatusCode.FAILED_PRECONDITION)
    text = f"nothing was done to saga {saga_id}: {refusal.message}"
    return RpcError(code, reason, text, metadata={"saga_id": str(saga_id)})


def not_found(reason: Reason, what: str, advice: str) -> RpcError:
    """NOT_FOUND for what is no saga."""
    return RpcError(grpc.StatusCode.NOT_FOUND, reason, f"{what}; {advice}")


def bulk_not_found(bulk_id: UUID) -> RpcError:
    """NOT_FOUND for a bulk."""
    return not_found(Reason.BULK_NOT_FOUND, f"no bulk has the id {bulk_id}", "see ListBulks")


def bulk_ended(bulk_id: UUID) -> RpcError:
    """FAILED_PRECONDITION: there is nothing to cancel."""
    text = f"bulk {bulk_id} has ended; its members are as ListBulkMembers says"
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, Reason.BULK_STATE, text)


def bulk_interrupted(bulk_id: UUID) -> RpcError:
    """UNAVAILABLE: the stream ends before its bulk, for the node's sake."""
    text = f"this node stops, and bulk {bulk_id} goes on elsewhere; call again at another node"
    return RpcError(grpc.StatusCode.UNAVAILABLE, Reason.NODE_DRAINING, text, retry_delay_s=0.5)
