"""What bounds the server that callers see."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """Settings of :class:`orchestrator.rpc.server.RpcServer`. Port 0 takes a free one."""

    listen_address: str = "127.0.0.1:7233"
    """``host:port``, ``[v6]:port`` or ``unix:path``."""
    allow_insecure: bool = False
    """Serve without TLS on an address that other machines reach."""
    reuse_port: bool = False
    """Share the port with other processes (SO_REUSEPORT)."""
    reflection: bool = False
    max_message_bytes: int = 1 << 20
    """Largest request, and about the largest page of a list."""
    max_concurrent_rpcs: int = 10_000
    max_wait_s: float = 60.0
    """How long a call waits for a saga whose caller sets no deadline, and the most that any call waits."""
    max_watch_s: float = 3600.0
    """How long one stream of WatchSaga may last."""
    shutdown_grace_s: float = 5.0
    """How long calls in flight may go on once the server stops."""
