"""Bounds of the store."""

from dataclasses import dataclass, field

from sqlalchemy import make_url


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where the database is and how long anything there may take.

    ``database_url`` is any ``postgresql://`` or ``postgresql+asyncpg://`` URL; it holds a password, so it is left out
    of the representation. Besides the pool the store keeps three connections whose session matters: the writer (one
    batch after the other), the renewer of the lease and the listener for NOTIFY. They need a direct connection or a
    session-pooling proxy. Raises ``ValueError`` for settings that contradict each other.
    """

    database_url: str = field(repr=False)
    pool_size: int = 8
    """Connections for claims, requests and reads."""
    pool_wait_timeout_s: float = 5.0
    """How long a read waits for a free connection."""
    connect_timeout_s: float = 5.0
    statement_timeout_s: float = 3.0
    """Held by the server; must be below the lease TTL, so that no write of a node outlives its lease by much."""
    command_timeout_s: float = 4.0
    """Held by the client, for a server that does not answer; above ``statement_timeout_s``."""
    lock_timeout_s: float = 2.0
    idle_in_transaction_timeout_s: float = 3.0
    renew_timeout_s: float = 1.0
    """Bound of one lease renewal, connecting included."""
    commit_attempts: int = 5
    """How often a batch is written that the server aborted for a deadlock or a serialization failure."""
    listen_ping_s: float = 15.0
    """How often the listener proves that its connection still lives."""
    reconnect_min_s: float = 0.1
    reconnect_max_s: float = 5.0
    """Bounds of the listener's backoff, each drawn between nothing and twice the last one."""

    def __post_init__(self) -> None:
        if not 0 < self.statement_timeout_s < self.command_timeout_s:
            raise ValueError("statement_timeout_s must be above 0 and below command_timeout_s")
        if not 0 < self.lock_timeout_s <= self.statement_timeout_s:
            raise ValueError("lock_timeout_s must be above 0 and at most statement_timeout_s")
        if not 0 < self.reconnect_min_s <= self.reconnect_max_s:
            raise ValueError("reconnect_min_s must be above 0 and at most reconnect_max_s")
        if self.pool_size < 1 or self.commit_attempts < 1:
            raise ValueError("pool_size and commit_attempts must be at least 1")

    @property
    def dsn(self) -> str:
        """The URL as asyncpg reads it. Holds the password."""
        return make_url(self.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
