"""What an error of the driver means to the engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from orchestrator.engine.ports import StoreUnavailable

ABORTED: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""The server rolled the transaction back for the sake of another one: nothing was written, the same may work now."""

IMPOSSIBLE: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.RaiseError)
"""The server rolled back for the sake of a value or a rule: the same will never be taken."""

UNAVAILABLE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdown, crash, starting up, statement_timeout
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, during a failover
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # The driver lost track of the conversation: seen when a call comes between the server's last message and its close.
    asyncpg.InternalClientError,
    asyncpg.InvalidCachedStatementError,
    *ABORTED,
)


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turns what says that the store did not answer into :class:`StoreUnavailable`; programming errors pass.

    No message carries values: what quotes rows and arguments is replaced by the kind of the error and the constraint's
    name. ``doing`` goes into the message.
    """
    try:
        yield
    except UNAVAILABLE as error:
        raise StoreUnavailable(f"the database failed while {doing}: {type(error).__name__}") from None
    except (OSError, EOFError) as error:  # TimeoutError is an OSError
        raise StoreUnavailable(f"the database did not answer while {doing}: {type(error).__name__}") from None
    except asyncpg.InterfaceError as error:
        if not _says_closed(error):
            raise
        raise StoreUnavailable(f"the connection was lost while {doing}") from None
    except asyncpg.PostgresError as error:
        _strip(error, doing)
        raise


def _strip(error: asyncpg.PostgresError, doing: str) -> None:
    """Takes the values out. What a role may not do, or a table does not have, is said in names, and stays."""
    error.detail = error.hint = error.context = error.internal_query = None
    if not isinstance(error, asyncpg.SyntaxOrAccessError):
        rule = f", constraint {error.constraint_name}" if error.constraint_name else ""
        error.args = (f"the database refused {doing}: {type(error).__name__}{rule}",)


def _says_closed(error: asyncpg.InterfaceError) -> bool:
    """The driver has no class of its own for a call on a connection that was lost before, only words."""
    said = str(error)
    return any(words in said for words in ("is closed", "was closed", "is closing", "released back to the pool"))
