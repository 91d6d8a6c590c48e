"""Where participants live and how they are reached: addresses, TLS, channel options. All of it is configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc

from contracts.following import Followed
from contracts.tls import ClientTls
from orchestrator.definitions.policies import MAX_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Target:
    """One address of a service, such as ``10.0.0.7:9000``; without ``tls`` it is called in the clear."""

    address: str
    tls: ClientTls | None = None

    def __post_init__(self) -> None:
        if not self.address:
            raise ValueError("a target needs an address")


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Bounds of the connections to participants. The defaults suit one network."""

    max_message_bytes: int = 1 << 20
    """Largest request sent and largest response taken."""
    keepalive_s: float = 10.0
    """How often a connection with calls in flight is probed."""
    keepalive_timeout_s: float = 3.0
    """How long a probe may go unanswered before the connection counts as dead."""
    initial_reconnect_backoff_s: float = 0.1
    max_reconnect_backoff_s: float = 1.0
    connect_timeout_s: float = 2.0
    retire_after_s: float = MAX_TIMEOUT_S + 1
    """How long a connection whose certificates were renewed stays for the calls in flight on it."""

    options: Sequence[tuple[str, int]] = field(init=False, repr=False, compare=False)
    """The same as gRPC's channel arguments."""

    def __post_init__(self) -> None:
        ms: Final = {
            "grpc.keepalive_time_ms": self.keepalive_s,
            "grpc.keepalive_timeout_ms": self.keepalive_timeout_s,
            # Without this one a frozen peer is found after a minute, whatever the two above say.
            "grpc.http2.ping_timeout_ms": self.keepalive_timeout_s,
            "grpc.initial_reconnect_backoff_ms": self.initial_reconnect_backoff_s,
            "grpc.max_reconnect_backoff_ms": self.max_reconnect_backoff_s,
            "grpc.min_reconnect_backoff_ms": self.connect_timeout_s,  # what gRPC calls the connection timeout
        }
        flags: Final = {
            "grpc.max_send_message_length": self.max_message_bytes,
            "grpc.max_receive_message_length": self.max_message_bytes,
            # Servers with gRPC's default settings answer pings on idle connections with GOAWAY.
            "grpc.keepalive_permit_without_calls": 0,
            "grpc.enable_retries": 0,  # the saga owns the retries
            "grpc.enable_http_proxy": 0,
            "grpc.service_config_disable_resolution": 1,  # no instructions out of DNS records
            "grpc.use_local_subchannel_pool": 1,  # two channels to one address are two connections
        }
        arguments = [(name, max(1, round(seconds * 1000))) for name, seconds in ms.items()]
        object.__setattr__(self, "options", (*arguments, *flags.items()))


def open_channel(target: Target, settings: ChannelSettings, followed: Followed | None = None) -> grpc.aio.Channel:
    """A channel to one target; it connects at the first call. ``followed`` are the target's own TLS files.

    Raises ``TlsFileError`` if it has to read them itself, and they are not good.
    """
    if target.tls is None:
        return grpc.aio.insecure_channel(target.address, options=list(settings.options))
    options = [*settings.options, *target.tls.options()]
    return grpc.aio.secure_channel(target.address, target.tls.credentials(followed), options=options)
