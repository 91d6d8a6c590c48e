"""What a failed statement means: whether the transaction may run again, and what the caller hears."""

from typing import Final

import grpc
from sqlalchemy import exc

from contracts.errors import Reason, RpcError

_RERUN: Final = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the database undid the transaction, which runs again as a whole."""

_GONE: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
"""The server ended the session: shutdown, crash, starting up, idle too long."""

_SLOW: Final = frozenset({"55P03", "57014"})
"""Lock timeout and statement timeout."""


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it wraps: SQLAlchemy's, its adapter's, asyncpg's."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 8:
        chain.append(current)
        current = (current.orig if isinstance(current, exc.DBAPIError) else None) or current.__cause__
    return chain


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE behind an error; empty if it does not come from the server."""
    for each in _chain(error):
        state = getattr(each, "sqlstate", None)
        if isinstance(state, str):
            return state
    return ""


def is_rerunnable(error: BaseException) -> bool:
    """True if the database has undone the transaction by itself and asks for another try."""
    return sqlstate(error) in _RERUN


def is_session_gone(error: BaseException) -> bool:
    """True if the server says that it ended the session."""
    state = sqlstate(error)
    return state.startswith("08") or state in _GONE


def cannot_connect(error: BaseException) -> bool:
    """True if a connection failed because of the server or the way to it, not because of the settings."""
    return is_session_gone(error) or isinstance(error, OSError) or any(isinstance(e, OSError) for e in _chain(error))


def is_slow(error: BaseException) -> bool:
    """True if a limit of time or of the server's resources ended the statement."""
    state = sqlstate(error)
    return state in _SLOW or state.startswith("53") or isinstance(error, TimeoutError | exc.TimeoutError)


def unavailable(message: str, retry_delay_s: float | None) -> RpcError:
    """The answer when the store, not the business, is why nothing is said."""
    return RpcError(grpc.StatusCode.UNAVAILABLE, Reason.STORE_UNAVAILABLE, message, retry_delay_s=retry_delay_s)
