"""Calls participants as the orchestrator does: with the metadata of the participant contract and a deadline."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

import grpc
from google.protobuf.message import Message
from saga.v1 import participant_service_pb2
from saga.v1.participant_service_saga import ParticipantService

from contracts import metadata as keys
from contracts.errors import error_info
from contracts.method import Method

ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True)
class Caller:
    """One step of one saga, calling under one epoch."""

    channel: grpc.aio.Channel
    step: str = "reserve"
    epoch: int = 1
    attempt: int = 1
    saga_id: UUID = field(default_factory=uuid4)

    def under(self, epoch: int) -> "Caller":
        """The same step under another epoch."""
        return replace(self, epoch=epoch)

    def metadata(self, phase: str) -> list[tuple[str, str]]:
        """What each call of this step carries."""
        return [
            (keys.SAGA_ID, str(self.saga_id)),
            (keys.SAGA_STEP, self.step),
            (keys.IDEMPOTENCY_KEY, keys.idempotency_key(str(self.saga_id), self.step, phase)),
            (keys.EPOCH, str(self.epoch)),
            (keys.ATTEMPT, str(self.attempt)),
            (keys.TRACEPARENT, f"00-{self.saga_id.hex}-00f067aa0ba902b7-01"),
        ]

    async def act(self, method: Method[Any, ResponseT], request: Message, timeout_s: float = 20) -> ResponseT:
        """Calls an action. Raises ``AioRpcError``."""
        return await call(self.channel, method, request, self.metadata(keys.PHASE_ACTION), timeout_s)

    async def undo(self, method: Method[Any, ResponseT], request: Message, timeout_s: float = 20) -> ResponseT:
        """Calls a compensation. Raises ``AioRpcError``."""
        return await call(self.channel, method, request, self.metadata(keys.PHASE_COMPENSATION), timeout_s)

    async def settle(self) -> participant_service_pb2.SettleResponse:
        """Settles the step. Raises ``AioRpcError``."""
        request = participant_service_pb2.SettleRequest(saga_id=str(self.saga_id), step=self.step)
        metadata = self.metadata(keys.PHASE_SETTLE)
        return await call(self.channel, ParticipantService.Settle, request, metadata)


async def call(
    channel: grpc.aio.Channel,
    method: Method[Any, ResponseT],
    request: Message,
    metadata: list[tuple[str, str]] | None = None,
    timeout_s: float = 20,
) -> ResponseT:
    """Calls any method. Raises ``AioRpcError``."""
    stub: Any = channel.unary_unary(
        method.path,
        request_serializer=method.request.SerializeToString,
        response_deserializer=method.response.FromString,
    )
    response: ResponseT = await stub(request, metadata=metadata, timeout=timeout_s)
    return response


def reason(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str, str, bool]:
    """Code, domain, reason, and whether the barrier's proof is in the trailers."""
    trailers = error.trailing_metadata()
    info = error_info(trailers)
    assert info is not None
    assert trailers is not None
    proof = (keys.VERDICT, keys.VERDICT_STORED) in [(key, value) for key, value in trailers]
    return error.code(), info.domain, info.reason, proof


async def verdict(awaitable: Awaitable[object]) -> str:
    """``OK`` or the reason of a rejection."""
    outcome = (await asyncio.gather(awaitable, return_exceptions=True))[0]
    if isinstance(outcome, grpc.aio.AioRpcError):
        return reason(outcome)[2]
    assert not isinstance(outcome, BaseException), outcome
    return "OK"
