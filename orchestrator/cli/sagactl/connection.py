"""One connection to a node: where it is, how it is trusted, and calls that all have a deadline."""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import grpc
import typer
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.addresses import check_target
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.failures import explain

DEFAULT_ADDRESS: Final = "127.0.0.1:7233"
DEFAULT_TIMEOUT_S: Final = 20.0
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
_PANEL: Final = "Connection and output"

ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True, slots=True)
class Options:
    """Options that every command takes, before its name or after; the later one counts. None: not given."""

    address: Annotated[
        str | None,
        typer.Option(
            help=f"A node, as host:port or unix:path; else SAGACTL_ADDRESS, or {DEFAULT_ADDRESS}.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    tls: Annotated[
        bool | None,
        typer.Option("--tls", help="Speak TLS, trusting the system's own authorities.", rich_help_panel=_PANEL),
    ] = None
    ca_file: Annotated[
        Path | None,
        typer.Option(help="PEM of whom to trust, speaking TLS; else SAGACTL_CA_FILE.", rich_help_panel=_PANEL),
    ] = None
    cert_file: Annotated[
        Path | None,
        typer.Option(help="PEM of your certificate, for mutual TLS; else SAGACTL_CERT_FILE.", rich_help_panel=_PANEL),
    ] = None
    key_file: Annotated[
        Path | None, typer.Option(help="PEM of its key; else SAGACTL_KEY_FILE.", rich_help_panel=_PANEL)
    ] = None
    server_name: Annotated[
        str | None,
        typer.Option(
            help="Name that the node's certificate carries, if not the host; else SAGACTL_SERVER_NAME.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    timeout_s: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=3600,
            help=f"Seconds to wait for an answer; else SAGACTL_TIMEOUT_S, or {DEFAULT_TIMEOUT_S:.0f}.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    output: Annotated[
        str | None,
        typer.Option(metavar="table|json", help="For people, or for scripts; else table.", rich_help_panel=_PANEL),
    ] = None


class Connection:
    """A channel that connects at the first call. Close it."""

    def __init__(self, options: Options) -> None:
        """Raises :class:`CommandError` for an address or a file that cannot be used."""
        self.address = options.address or os.environ.get("SAGACTL_ADDRESS") or DEFAULT_ADDRESS
        self.timeout_s = options.timeout_s or _seconds("SAGACTL_TIMEOUT_S") or DEFAULT_TIMEOUT_S
        try:
            check_target(self.address)
        except ValueError as error:
            raise CommandError(ExitCode.USAGE, f"--address: {error}") from None
        self.channel = _channel(self.address, options)
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


def _channel(address: str, options: Options) -> grpc.Channel:
    ca_file = options.ca_file or _path("SAGACTL_CA_FILE")
    cert_file = options.cert_file or _path("SAGACTL_CERT_FILE")
    key_file = options.key_file or _path("SAGACTL_KEY_FILE")
    if (cert_file is None) != (key_file is None):
        raise CommandError(ExitCode.USAGE, "--cert-file and --key-file go together: give both, or neither")
    if not options.tls and ca_file is None and cert_file is None:
        return grpc.insecure_channel(address, options=_OPTIONS)
    ca, key, certificate = (None if file is None else _read(file) for file in (ca_file, key_file, cert_file))
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    name = options.server_name or os.environ.get("SAGACTL_SERVER_NAME")
    names = (("grpc.ssl_target_name_override", name),) if name else ()
    return grpc.secure_channel(address, credentials, options=(*_OPTIONS, *names))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(ExitCode.USAGE, f"the file {file} cannot be read: {error.strerror}") from None


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _seconds(variable: str) -> float | None:
    value = os.environ.get(variable)
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise CommandError(ExitCode.USAGE, f"{variable} is {value!r}: give seconds from 0.1 to 3600")
    return seconds
