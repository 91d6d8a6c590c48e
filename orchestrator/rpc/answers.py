"""Reads how an RPC to a participant ended: status, details and the barrier's proof, as an :class:`Answer`."""

from dataclasses import replace
from typing import Final

import grpc

from contracts.errors import Reason, error_info, retry_delay_s
from contracts.metadata import ERROR_DOMAIN, VERDICT, VERDICT_STORED
from orchestrator.engine.ports import Answer

_MAX_MESSAGE_CHARS: Final = 1000
_MAX_REASON_CHARS: Final = 128
_TOO_LARGE: Final = ("CLIENT: Received message larger than max", "SERVER: Sent message larger than max")
"""What this node's transport says of a response, and that of a participant, in some of gRPC's languages."""

NO_ADDRESS: Final = "NO_ADDRESS"
"""Reason of an answer to a call of a service that no configuration gives an address."""


def answer_to(error: grpc.aio.AioRpcError) -> Answer:
    """The answer that a failed RPC stands for."""
    code: int = error.code().value[0]
    message = (error.details() or "")[:_MAX_MESSAGE_CHARS]
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and any(each in message for each in _TOO_LARGE):
        # A transport dropped the response of an action that did take effect: not the participant's "busy".
        text = (
            f"the call succeeded, and its response is larger than this node takes ({message}); answer less, or raise "
            "ORCHESTRATOR_MAX_PARTICIPANT_MESSAGE_BYTES at every node, then retry the step"
        )
        answer = local_answer(grpc.StatusCode.UNKNOWN, Reason.MESSAGE_TOO_LARGE, text)
        return replace(answer, is_too_large=True)
    trailers = error.trailing_metadata()
    if not trailers:
        return Answer(code, message=message)
    pairs: tuple[tuple[str, str | bytes], ...] = tuple(trailers)
    info = error_info(pairs)
    return Answer(
        code,
        message=message,
        reason=info.reason[:_MAX_REASON_CHARS] if info else None,
        domain=info.domain[:_MAX_REASON_CHARS] if info else None,
        proven=(VERDICT, VERDICT_STORED) in pairs,
        retry_delay_s=retry_delay_s(pairs),
    )


def local_answer(code: grpc.StatusCode, reason: str, message: str) -> Answer:
    """An answer that this node gives itself, for want of one from the participant."""
    return Answer(code.value[0], message=message, reason=reason, domain=ERROR_DOMAIN)
