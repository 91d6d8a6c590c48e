"""One connection to a node, and calls on it that all have a deadline."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import grpc
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.pem import TlsFileError
from contracts.tls import ClientTls
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.failures import explain
from orchestrator.cli.sagactl.options import Options, Place, place
from orchestrator.cli.sagactl.token import BearerToken

STREAM_S: Final = 300.0
"""How long one stream lasts before it is opened anew."""
PATIENCE_S: Final = 120.0
"""How long a stream is opened again and again without an answer before the command gives up."""
_MAX_MESSAGE_BYTES: Final = 64 << 20
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),
    # A frozen node is found in a quarter of a minute.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

ResponseT = TypeVar("ResponseT")


class Connection:
    """A channel that connects at the first call. Close it."""

    def __init__(self, options: Options) -> None:
        """Raises :class:`CommandError` for an address or a file that cannot be used."""
        where = place(options)
        self.address = where.address
        self.timeout_s = where.timeout_s
        self.channel = _channel(where)
        self.operator = SagaOperatorServiceStub(self.channel)
        self.sagas = SagaServiceStub(self.channel)

    def call(self, method: Callable[..., ResponseT], request: Any, timeout_s: float | None = None) -> ResponseT:
        """One unary call. Raises :class:`CommandError`."""
        try:
            return method(request, timeout=timeout_s or self.timeout_s)
        except grpc.RpcError as error:
            raise explain(error, self.address) from None

    def follow(
        self,
        open_stream: Callable[[], Any],
        method: Callable[..., Any],
        *,
        on_loss: Callable[[CommandError], None],
        patience_s: float = PATIENCE_S,
        pause: Callable[[float], None] = time.sleep,
    ) -> Iterator[Any]:
        """What a stream brings, opened again with a new request from ``open_stream`` whenever it breaks.

        Ends where the node ends it. Raises :class:`CommandError` for what opening it again does not cure, if it never
        brought anything, or if nothing came for ``patience_s`` seconds.
        """
        pause_s, heard_at = 0.0, -math.inf
        while True:
            try:
                for response in method(open_stream(), timeout=STREAM_S):
                    pause_s, heard_at = 0.0, time.monotonic()
                    yield response
                return
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:  # it lasted as long as it may, and goes on
                    heard_at = time.monotonic()
                    continue
                lost = explain(error, self.address)
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() - heard_at > patience_s:
                    raise lost from None
                if not pause_s:
                    on_loss(lost)
            pause_s = min(5.0, pause_s * 2 or 0.25)
            pause(pause_s)

    def close(self) -> None:
        """Ends what is open. May be called twice."""
        self.channel.close()


def _channel(where: Place) -> grpc.Channel:
    channel = _open(where)
    return channel if where.token_file is None else grpc.intercept_channel(channel, BearerToken(where.token_file))


def _open(where: Place) -> grpc.Channel:
    if not where.tls:
        return grpc.insecure_channel(where.address, options=_OPTIONS)
    tls = ClientTls(where.ca_file, where.cert_file, where.key_file, where.server_name)
    try:
        return grpc.secure_channel(where.address, tls.credentials(), options=(*_OPTIONS, *tls.options()))
    except TlsFileError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
