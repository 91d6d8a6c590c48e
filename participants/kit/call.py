"""Which step of which saga calls: the metadata of the participant contract, read and checked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid5

import grpc

from contracts import metadata as keys
from contracts.errors import Reason, RpcError

_EFFECTS: Final = UUID("5c1f6b1e-5d55-4c5b-9d0e-0f6a3c1f7a10")
"""UUIDv5 namespace of the effects; changing it would orphan every effect that can still be undone."""

_STEP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SAGA_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_MAX_BIGINT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class StepContext:
    """The step that a handler works for."""

    saga_id: UUID
    step: str
    attempt: int
    """Number of this call, from 1. Informs logs; nothing may depend on it."""
    epoch: int
    trace_id: str = ""
    """W3C trace id of the caller; empty if it sent none."""
    effect_id: UUID = field(init=False)
    """Names the action's effect: the same in every attempt of the action and in its compensation.

    A handler that uses it as the primary key of what it creates finds that again without any response.
    """

    def __post_init__(self) -> None:
        key = keys.idempotency_key(str(self.saga_id), self.step, keys.PHASE_ACTION)
        object.__setattr__(self, "effect_id", uuid5(_EFFECTS, key))


def _malformed(key: str, expectation: str) -> RpcError:
    text = f"metadata {key} is missing or malformed, it must be {expectation}; only a saga's step may call this method"
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, Reason.MISSING_METADATA, text)


def read_call(metadata: Iterable[tuple[str, str | bytes]] | None, phase: str) -> StepContext:
    """Reads the metadata of a call for ``phase``. Raises :class:`RpcError` ``MISSING_METADATA``."""
    values = {key: value for key, value in metadata or () if isinstance(value, str)}
    saga_id, step = values.get(keys.SAGA_ID, ""), values.get(keys.SAGA_STEP, "")
    if not _SAGA_ID.fullmatch(saga_id):
        raise _malformed(keys.SAGA_ID, "a UUID in lower case")
    if not _STEP.fullmatch(step):
        raise _malformed(keys.SAGA_STEP, "1 to 64 of A-Z a-z 0-9 . _ -")
    if values.get(keys.IDEMPOTENCY_KEY) != keys.idempotency_key(saga_id, step, phase):
        raise _malformed(keys.IDEMPOTENCY_KEY, f"saga-id/saga-step/{phase}")
    trace = _TRACEPARENT.fullmatch(values.get(keys.TRACEPARENT, ""))
    return StepContext(
        saga_id=UUID(saga_id),
        step=step,
        attempt=_number(values, keys.ATTEMPT),
        epoch=_number(values, keys.EPOCH),
        trace_id=trace[1] if trace else "",
    )


def _number(values: dict[str, str], key: str) -> int:
    text = values.get(key, "")
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= _MAX_BIGINT:
        raise _malformed(key, "a whole number from 1 to 2^63-1")
    return int(text)
