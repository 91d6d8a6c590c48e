"""Errors on the wire: ``google.rpc.Status`` with exactly one ``ErrorInfo`` (AIP-193), written and read."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeVar

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from contracts.metadata import ERROR_DOMAIN
from contracts.rules import Violation

DETAILS_KEY: Final = "grpc-status-details-bin"
"""Trailer that holds the serialized ``google.rpc.Status``."""

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_MAX_DETAILS_BYTES: Final = 64 * 1024
_MAX_DETAILS: Final = 16

DetailT = TypeVar("DetailT", bound=Message)


class Reason(StrEnum):
    """The reasons of domain ``saga.v1``: ``saga.v1.ErrorReason`` without its prefix, documented there."""

    INVALID_REQUEST = "INVALID_REQUEST"
    SAGA_NOT_FOUND = "SAGA_NOT_FOUND"
    DEFINITION_NOT_FOUND = "DEFINITION_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    CONCURRENCY_KEY_HELD = "CONCURRENCY_KEY_HELD"
    SAGA_COMPENSATED = "SAGA_COMPENSATED"
    SAGA_STATE = "SAGA_STATE"
    PAST_PIVOT = "PAST_PIVOT"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    NODE_DRAINING = "NODE_DRAINING"
    OVER_CAPACITY = "OVER_CAPACITY"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    INTERNAL = "INTERNAL"
    SUPERSEDED = "SUPERSEDED"
    STALE_EPOCH = "STALE_EPOCH"
    KEY_REUSED = "KEY_REUSED"
    MISSING_METADATA = "MISSING_METADATA"
    PAGE_TOKEN = "PAGE_TOKEN"  # noqa: S105  (a reason, not a secret)
    OUTCOME_PENDING = "OUTCOME_PENDING"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    VERSION_CHANGED = "VERSION_CHANGED"
    STEP_NOT_FOUND = "STEP_NOT_FOUND"
    BULK_NOT_FOUND = "BULK_NOT_FOUND"
    BULK_STATE = "BULK_STATE"
    PARTICIPANT_NOT_FOUND = "PARTICIPANT_NOT_FOUND"
    NODE_NOT_FOUND = "NODE_NOT_FOUND"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    TOO_MANY_CALLS = "TOO_MANY_CALLS"
    RATE_LIMITED = "RATE_LIMITED"
    SLOW_READER = "SLOW_READER"
    KEYS_UNAVAILABLE = "KEYS_UNAVAILABLE"


class RpcError(Exception):
    """An RPC ends with this status. Raised by a handler; :mod:`contracts.serving` turns it into status and trailers.

    ``message`` says what happened and what to do, without payload. ``retry_delay_s`` (seconds) becomes ``RetryInfo``,
    ``violations`` become ``BadRequest``, and ``trailers`` are sent beside the details.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        domain: str = ERROR_DOMAIN,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_delay_s: float | None = None,
        trailers: Sequence[tuple[str, str | bytes]] = (),
    ) -> None:
        super().__init__(f"{code.name} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.domain = domain
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_delay_s = retry_delay_s
        self.trailers = tuple(trailers)


def to_status(error: RpcError) -> Status:
    """The error as ``google.rpc.Status``: one ``ErrorInfo``, then ``BadRequest`` and ``RetryInfo`` where they apply."""
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=error.domain, metadata=error.metadata)]
    if error.violations:
        broken = [
            BadRequest.FieldViolation(field=violation.field, description=violation.description)
            for violation in error.violations
        ]
        details.append(BadRequest(field_violations=broken))
    if error.retry_delay_s is not None:
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(max(0, round(error.retry_delay_s * 1e9)))
        details.append(retry)
    status = Status(code=error.code.value[0], message=error.message)
    for detail in details:
        packed: any_pb2.Any = status.details.add()
        packed.Pack(detail)
    return status


def to_trailers(error: RpcError) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata of the error: its own trailers, then its details."""
    return (*error.trailers, (DETAILS_KEY, to_status(error).SerializeToString()))


def from_status(status: Status, *, trailers: Sequence[tuple[str, str | bytes]] = ()) -> RpcError:
    """The error that :func:`to_status` was given; details of other types are dropped."""
    info = _detail(status, ErrorInfo) or ErrorInfo()
    broken = _detail(status, BadRequest) or BadRequest()
    return RpcError(
        _CODES.get(status.code, grpc.StatusCode.UNKNOWN),
        info.reason,
        status.message,
        domain=info.domain,
        metadata=info.metadata,
        violations=[Violation(each.field, each.description) for each in broken.field_violations],
        retry_delay_s=_delay_s(status),
        trailers=trailers,
    )


def error_info(trailing_metadata: Iterable[tuple[str, str | bytes]] | None) -> ErrorInfo | None:
    """The ``ErrorInfo`` of an answer, or None if it has none or its details are garbage. Never raises."""
    status = _status(trailing_metadata)
    return None if status is None else _detail(status, ErrorInfo)


def retry_delay_s(trailing_metadata: Iterable[tuple[str, str | bytes]] | None) -> float | None:
    """The delay of ``RetryInfo`` in seconds, at least 0; None if there is none or it is garbage. Never raises."""
    status = _status(trailing_metadata)
    return None if status is None else _delay_s(status)


def _status(trailing_metadata: Iterable[tuple[str, str | bytes]] | None) -> Status | None:
    for key, value in trailing_metadata or ():
        if key == DETAILS_KEY:
            if not isinstance(value, bytes) or len(value) > _MAX_DETAILS_BYTES:
                return None
            try:
                return Status.FromString(value)
            except DecodeError:
                return None
    return None


def _detail(status: Status, kind: type[DetailT]) -> DetailT | None:
    for packed in status.details[:_MAX_DETAILS]:
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            try:
                detail.ParseFromString(packed.value)
            except DecodeError:
                return None
            return detail
    return None


def _delay_s(status: Status) -> float | None:
    retry = _detail(status, RetryInfo)
    # Plain arithmetic: the message's own conversions raise for values out of range, and those come from the wire.
    return None if retry is None else max(0.0, retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)
