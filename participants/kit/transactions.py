"""Runs transactions to their end whatever becomes of the caller, and again where the database asks for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg
import structlog
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from contracts.errors import RpcError
from participants.kit.correlation import transaction
from participants.kit.failures import cannot_connect, is_rerunnable, is_session_gone, is_slow, unavailable
from participants.kit.settings import Settings
from participants.kit.store import COMMIT, KEEP_DURABLE, ROLLBACK

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_MAX_RUNS: Final = 5
"""How often one call runs its transaction: deadlocks and lost connections make another run."""

_RETRY_DELAY_S: Final = 0.5


def create_engine(settings: Settings) -> AsyncEngine:
    """The participant's pool: bounded, every statement and wait with a limit, every commit durable.

    Connects when first used.
    """
    engine = create_async_engine(
        settings.sqlalchemy_url,
        # The kit begins and ends transactions itself, in messages that carry other statements too. It also means
        # that a handler's own commit() does nothing, as it should.
        isolation_level="AUTOCOMMIT",
        pool_size=settings.pool_size,
        max_overflow=0,
        hide_parameters=True,  # they are payload, and errors are logged
        pool_timeout=settings.pool_timeout_s,
        connect_args={
            "timeout": settings.connect_timeout_s,
            # The server's own limits end a statement cleanly; this one is for a server that no longer answers.
            "command_timeout": settings.statement_timeout_s + 5,
            "server_settings": {
                "application_name": settings.application_name,
                "statement_timeout": _milliseconds(settings.statement_timeout_s),
                "lock_timeout": _milliseconds(settings.lock_timeout_s),
                "idle_in_transaction_session_timeout": _milliseconds(settings.idle_in_transaction_timeout_s),
            },
        },
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    """Runs once for each new connection; ``connection`` is SQLAlchemy's adapter of the driver's."""
    connection.run_async(_keep_durable)


async def _keep_durable(raw: "asyncpg.Connection[asyncpg.Record]") -> None:
    try:
        await raw.execute(KEEP_DURABLE)
    except BaseException:
        raw.terminate()  # nobody else would: the pool never sees it
        raise


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


class Session:
    """One connection and the transaction that the kit runs on it."""

    def __init__(
        self, db: AsyncConnection, raw: "asyncpg.Connection[asyncpg.Record]", timeout: asyncio.Timeout
    ) -> None:
        self.db = db
        self.raw = raw
        self._timeout = timeout
        self.committing = False
        """True once a COMMIT was sent: from then on an error no longer says that nothing happened."""
        self.ended = False

    async def script(self, *statements: str) -> str:
        """Sends the statements in one message; returns the status of the last. They take no parameters."""
        return await self.raw.execute("; ".join(statements))

    async def commit(self, *statements: str) -> None:
        """Runs the statements and commits, in one message.

        Raises :class:`RpcError` UNAVAILABLE if the session ended while the handler worked: nothing was committed then.
        """
        if self.raw.is_closed():
            raise unavailable("the database ended the session while the handler worked; all was undone", _RETRY_DELAY_S)
        self.committing = True
        self._timeout.reschedule(None)  # a commit is not cut short; the connection's command timeout bounds it
        status = await self.script(*statements, COMMIT)
        self.ended = True
        if status != COMMIT:
            raise RuntimeError(f"the transaction ended with {status}: a handler hid an error of the database")

    async def rollback(self) -> None:
        """Undoes everything."""
        await self.script(ROLLBACK)
        self.ended = True


class Transactions:
    """Runs bodies, each in a transaction of its own."""

    def __init__(self, engine: AsyncEngine, transaction_timeout_s: float) -> None:
        self._engine = engine
        self._timeout_s = transaction_timeout_s
        self._running: set[asyncio.Task[object]] = set()

    async def run(self, body: Callable[[Session], Awaitable[T]]) -> T:
        """Runs ``body``, which begins and ends the transaction itself.

        Once begun it is carried to its end even if the caller is cancelled; a deadlock or a connection lost before
        the COMMIT runs it again, a bounded number of times. Raises what the body raises, and :class:`RpcError`
        UNAVAILABLE if the store cannot be reached, is too slow, or does not say what became of the COMMIT.
        """
        db = await self._connect()  # still the caller's: one that gives up while it queues here leaves nothing behind
        task = asyncio.create_task(self._run_to_end(db, body))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def close(self, timeout_s: float) -> None:
        """Waits for running transactions, ``timeout_s`` seconds at the most, and closes the pool."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                _log.warning("transactions_abandoned", count=len(late))
                await asyncio.wait(late, timeout=timeout_s)
        await self._engine.dispose()

    async def _connect(self) -> AsyncConnection:
        try:
            return await self._engine.connect()
        except Exception as error:
            if cannot_connect(error) or is_slow(error):
                _log.warning("store_unavailable", error=type(error).__name__)
                text = "no connection to the participant's database; nothing was begun"
                raise unavailable(text, _RETRY_DELAY_S) from error
            raise

    async def _run_to_end(self, db: AsyncConnection, body: Callable[[Session], Awaitable[T]]) -> T:
        for run in range(1, _MAX_RUNS + 1):
            if run > 1:
                db = await self._connect()
            try:
                with transaction(self._engine.url, run):
                    return await self._run_once(db, body)
            except _RunAgainError as again:
                _log.info("transaction_runs_again", run=run, error=type(again.__cause__).__name__)
        raise unavailable(
            f"the transaction was undone {_MAX_RUNS} times by deadlocks or lost connections", _RETRY_DELAY_S
        )

    async def _run_once(self, db: AsyncConnection, body: Callable[[Session], Awaitable[T]]) -> T:
        session: Session | None = None
        try:
            async with asyncio.timeout(self._timeout_s) as timeout:
                raw = (await db.get_raw_connection()).driver_connection
                assert raw is not None
                session = Session(db, raw, timeout)
                return await body(session)
        except RpcError:
            raise
        except Exception as error:
            judged = await self._judge(error, session)
            if judged is error:
                raise
            raise judged from error
        finally:
            await _release(db, session)

    async def _judge(self, error: Exception, session: Session | None) -> BaseException:
        """What to raise for a failure of the database; ``error`` itself if it is none."""
        if is_rerunnable(error):
            return _RunAgainError()
        lost = is_session_gone(error) or (session is not None and session.raw.is_closed())
        slow = is_slow(error)
        if lost:
            await self._engine.dispose()  # its other idle connections are as dead as this one
        if session is not None and session.committing and (lost or slow):
            _log.warning("commit_unknown", error=type(error).__name__)
            return unavailable("the database did not say what became of the commit; ask again under the same key", None)
        if lost:
            return _RunAgainError()
        if slow:
            _log.warning("store_slow", error=type(error).__name__)
            return unavailable(
                "the transaction took too long, waited for a lock perhaps, and was undone", _RETRY_DELAY_S
            )
        return error


class _RunAgainError(Exception):
    """The transaction left nothing behind and may run again."""


async def _release(db: AsyncConnection, session: Session | None) -> None:
    """Gives the connection back with no transaction open on it, or not at all."""
    try:
        if session is None:
            await db.invalidate()
        elif not session.ended:
            if session.committing or session.raw.is_closed():
                await db.invalidate()
            else:
                async with asyncio.timeout(5):
                    await session.rollback()
    except BaseException as error:
        await db.invalidate()
        if not isinstance(error, Exception):
            raise
    finally:
        await db.close()
