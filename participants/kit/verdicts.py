"""What a handler raises when it does not take effect."""

from collections.abc import Mapping
from typing import Final

import grpc

from contracts.errors import RpcError

DEFINITE_CODES: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
"""The codes of a business rejection: gRPC itself never sends them."""


class Rejected(Exception):  # noqa: N818  (an answer, not a fault)
    """The business says no: what the handler wrote is undone, and the verdict of an action is stored.

    ``code`` is one of :data:`DEFINITE_CODES`, ``reason`` an UPPER_SNAKE word of the service's own error domain, and
    ``message`` and ``metadata`` go to the caller. Raises ``ValueError`` for another code.
    """

    def __init__(
        self, code: grpc.StatusCode, reason: str, message: str, *, metadata: Mapping[str, str] | None = None
    ) -> None:
        if code not in DEFINITE_CODES:
            raise ValueError(f"{code.name} says nothing definite; a rejection is one of the five codes that do")
        super().__init__(f"{reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})

    def to_error(self, domain: str, *, trailers: tuple[tuple[str, str], ...] = ()) -> RpcError:
        """The rejection as the status that the caller sees."""
        return RpcError(self.code, self.reason, self.message, domain=domain, metadata=self.metadata, trailers=trailers)


class Busy(Exception):  # noqa: N818  (an answer, not a fault)
    """Not now: what the handler wrote is undone, nothing is stored, and the caller tries again after the delay.

    ``retry_delay_s`` is in seconds. ``contended`` answers ABORTED (a lost race) instead of RESOURCE_EXHAUSTED.
    """

    def __init__(
        self, retry_delay_s: float, reason: str = "BUSY", message: str = "try again later", *, contended: bool = False
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.retry_delay_s = retry_delay_s
        self.reason = reason
        self.message = message
        self.code = grpc.StatusCode.ABORTED if contended else grpc.StatusCode.RESOURCE_EXHAUSTED

    def to_error(self, domain: str) -> RpcError:
        """The delay as the status that the caller sees."""
        return RpcError(self.code, self.reason, self.message, domain=domain, retry_delay_s=self.retry_delay_s)
