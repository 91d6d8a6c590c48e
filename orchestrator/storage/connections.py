"""Connections with deadlines: a bounded pool, and connections that serve one purpose.

Plain asyncpg rather than a SQLAlchemy engine: every call is one statement that commits by itself, in one round trip,
where an engine's connection would add a BEGIN and a COMMIT; and one driver's errors are mapped in one place.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from orchestrator.engine.ports import StoreUnavailable
from orchestrator.storage.errors import store_errors
from orchestrator.storage.settings import StorageSettings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pooled: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
ResultT = TypeVar("ResultT")

POSTGRES_EPOCH_US: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
"""timestamptz counts microseconds from here; exactly so, in 64 bits."""

KEEP_DURABLE: Final = """
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
"""What is acknowledged is durable, whatever the role's default. Stricter and replicated levels are left alone."""


def _session(settings: StorageSettings, purpose: str, **more: str) -> dict[str, str]:
    return {
        "application_name": f"orchestrator {purpose}",
        "statement_timeout": f"{settings.statement_timeout_s * 1000:.0f}",
        "lock_timeout": f"{settings.lock_timeout_s * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{settings.idle_in_transaction_timeout_s * 1000:.0f}",
        "default_transaction_isolation": "read committed",
        "jit": "off",
        **more,
    }


async def _prepare(connection: "Connection | Pooled") -> None:
    """Makes timestamptz integer microseconds since the Unix epoch, both ways."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda at_us: (at_us - POSTGRES_EPOCH_US,),
        decoder=lambda parts: parts[0] + POSTGRES_EPOCH_US,
    )
    await connection.execute(KEEP_DURABLE)


async def _keep_session(_connection: Connection) -> None:
    """Nothing here changes a pooled session, so RESET ALL would only undo :func:`_prepare`, at a round trip a call.

    asyncpg itself rolls back what a cancelled caller left open.
    """


class DedicatedConnection:
    """One connection for one purpose, made at the first call and again after it was lost. Calls take turns.

    ``timeout_s`` bounds a call from its turn on, connecting included. A call whose outcome is unknown costs the
    connection, so that no answer is taken for another call's.
    """

    def __init__(self, settings: StorageSettings, purpose: str, timeout_s: float, **session: str) -> None:
        self._settings = settings
        self._purpose = purpose
        self._timeout_s = timeout_s
        self._session = _session(settings, purpose, **session)
        self._turn = asyncio.Lock()
        self._is_open = False
        self._connection: Connection | None = None

    def open(self) -> None:
        """Allows calls."""
        self._is_open = True

    async def run(self, doing: str, use: Callable[[Connection], Awaitable[ResultT]]) -> ResultT:
        """Calls ``use`` with the connection. Raises :class:`StoreUnavailable`, and what ``use`` raises."""
        async with self._turn:
            if not self._is_open:
                raise StoreUnavailable(f"the store is not open; refused while {doing}")
            try:
                with store_errors(doing):
                    async with asyncio.timeout(self._timeout_s):
                        return await use(await self._connected())
            except BaseException:
                self._drop()
                raise

    async def connect(self) -> Connection:
        """A new connection that the caller closes. Raises what the driver raises."""
        settings = self._settings
        connection = await asyncpg.connect(
            settings.dsn,
            timeout=min(settings.connect_timeout_s, self._timeout_s),
            command_timeout=self._timeout_s,
            server_settings=self._session,
            max_cached_statement_lifetime=0,
        )
        try:
            await _prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def close(self) -> None:
        """Waits for the call under way, then closes; calls that come after it are refused."""
        self._is_open = False
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                await _close(connection, self._timeout_s)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self.connect()
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _close(connection: Connection, timeout_s: float) -> None:
    try:
        await connection.close(timeout=timeout_s)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()  # it was lost already, or does not answer


class Connections:
    """All connections of one store."""

    def __init__(self, settings: StorageSettings) -> None:
        self.settings = settings
        # The writer's statement must be planned once and look rows up by key, however small the tables are while it
        # is planned: a sequential scan chosen on an empty table would be kept when it is large.
        self.writer = DedicatedConnection(
            settings,
            "writer",
            settings.command_timeout_s,
            plan_cache_mode="force_generic_plan",
            enable_seqscan="off",
        )
        self.renewer = DedicatedConnection(settings, "renewer", settings.renew_timeout_s)
        self.listener = DedicatedConnection(settings, "listener", settings.command_timeout_s)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Connects once, to find out early that the database is away. Raises :class:`StoreUnavailable`."""
        if self._pool is not None:
            return
        settings = self.settings
        with store_errors("connecting"):
            pool = await asyncpg.create_pool(
                settings.dsn,
                min_size=0,  # or the pool logs a traceback for every try while the database is away
                max_size=settings.pool_size,
                timeout=settings.connect_timeout_s,
                command_timeout=settings.command_timeout_s,
                # Few statements, of known shapes; a plan made for the values at hand suits tables that grow.
                server_settings=_session(settings, "pool", plan_cache_mode="force_custom_plan"),
                init=_prepare,
                reset=_keep_session,
            )
            async with pool.acquire(timeout=settings.connect_timeout_s):
                self._pool = pool
        self.writer.open()
        self.renewer.open()

    async def close(self) -> None:
        """Closes what is open; calls under way end first, within their own timeouts."""
        pool, self._pool = self._pool, None
        await asyncio.gather(self.writer.close(), self.renewer.close(), self.listener.close())
        if pool is not None:
            try:
                async with asyncio.timeout(self.settings.command_timeout_s):
                    await pool.close()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pool.terminate()

    def pool_use(self) -> tuple[int, int, int]:
        """Connections of the pool: open, in use, and how many there may be."""
        pool = self._pool
        limit = self.settings.pool_size
        return (0, 0, limit) if pool is None else (pool.get_size(), pool.get_size() - pool.get_idle_size(), limit)

    @asynccontextmanager
    async def pooled(self, doing: str) -> AsyncIterator[Pooled]:
        """A connection of the pool. Raises :class:`StoreUnavailable`, also if none is free in time."""
        if self._pool is None:
            raise StoreUnavailable(f"the store is not open; refused while {doing}")
        with store_errors(doing):
            async with self._pool.acquire(timeout=self.settings.pool_wait_timeout_s) as connection:
                try:
                    yield connection
                except (OSError, asyncpg.InternalClientError):
                    connection.terminate()  # or its release would wait as long again for a server that hangs
                    raise


class Connected:
    """Base of the parts of the store, which share its connections."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
