"""What bounds the server that callers see."""

from dataclasses import dataclass, field

from contracts.serving import MAX_CONNECTIONS
from contracts.tls import ServerTls
from orchestrator.rpc.limits.callers import CallerPolicy


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """Settings of :class:`orchestrator.rpc.server.RpcServer`. Port 0 takes a free one."""

    listen_address: str = "127.0.0.1:7233"
    """``host:port``, ``[v6]:port`` or ``unix:path``."""
    tls: ServerTls | None = None
    token_listen_address: str = ""
    """Where the same is served to callers without a certificate, over TLS; empty is nowhere."""
    max_connection_age_s: float = 600.0
    """With TLS: how old a connection may grow before its client must connect anew."""
    connection_grace_s: float = 90.0
    """How long calls in flight may go on over a connection that is too old."""
    allow_insecure: bool = False
    """Serve without TLS on an address that other machines reach."""
    reuse_port: bool = False
    """Share the port with other processes (SO_REUSEPORT)."""
    reflection: bool = False
    max_message_bytes: int = 1 << 20
    """Largest request, and about the largest page of a list."""
    max_concurrent_rpcs: int = 10_000
    max_connections: int = MAX_CONNECTIONS
    callers: CallerPolicy = field(default_factory=CallerPolicy)
    """Bounds of each single caller."""
    slow_reader_s: float = 10.0
    """How long a client may leave a message of its stream unread."""
    max_wait_s: float = 60.0
    """How long a call waits for a saga whose caller sets no deadline, and the most that any call waits."""
    max_watch_s: float = 3600.0
    """How long one stream of WatchSaga may last."""
    shutdown_grace_s: float = 5.0
    """How long calls in flight may go on once the server stops."""
