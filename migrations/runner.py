"""Applies, inspects and prints the revisions of a chain. A chain is a folder below ``migrations/versions``.

Run as a command: ``python -m migrations.runner upgrade|current|head|sql CHAIN``, with ``DATABASE_URL`` in the
environment where a database is needed; ``chains`` lists the chains. Nothing else in the program changes a schema.
"""

import argparse
import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, make_url, text
from sqlalchemy.engine.reflection import ObjectKind
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from contracts.starting import StartError
from migrations.privileges import EXCESS, Grants, Tables, given, program_grants, reader_grants, statements

LOCATION: Final = Path(__file__).parent
VERSIONS: Final = LOCATION / "versions"
LOCK_TABLE: Final = "migration_lock"
BOOKKEEPING_TABLES: Final = frozenset({"alembic_version", LOCK_TABLE})
SESSION_SETTINGS: Final = (
    # A revision that waits for a table lock makes everybody queue behind it: it gives up soon, and is run again.
    "SET lock_timeout = '5s'",
    "SET statement_timeout = '15min'",
)
CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 1200.0
WAIT_FOR_OTHERS_S: Final = 600.0
"""How long an upgrade waits for another one on the same database."""
CREATED_BY_ANOTHER: Final = (
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateObjectError,
    asyncpg.DuplicateTableError,
)

ResultT = TypeVar("ResultT")


class UnknownChainError(Exception):
    """There is no folder of that name below ``migrations/versions``."""


class TooMuchError(Exception):
    """A role may do more in the database than it was given."""

    def __init__(self, role: str, excess: Sequence[str]) -> None:
        shown = "; ".join(excess[:5]) + (f"; and {len(excess) - 5} more" if len(excess) > 5 else "")
        super().__init__(
            f"the role {role!r} would have more rights than it needs ({shown}): make it a plain LOGIN role that owns "
            "nothing, is no superuser and no member of a role that is or does, and revoke as the database's owner what "
            "PUBLIC was granted"
        )


def chains() -> list[str]:
    """Names of all chains, sorted."""
    return sorted(path.name for path in VERSIONS.iterdir() if list(path.glob("[0-9]*.py")))


def head(chain: str) -> str:
    """The newest revision of a chain. Raises ``UnknownChainError``."""
    newest = ScriptDirectory.from_config(_config(chain)).get_current_head()
    if newest is None:
        raise UnknownChainError(f"chain {chain!r} has no revisions")
    return newest


def offline_sql(chain: str) -> str:
    """The SQL of the whole chain from an empty database, for linters and reviewers. Raises ``UnknownChainError``."""
    buffer = io.StringIO()
    command.upgrade(_config(chain, output_buffer=buffer), "head", sql=True)
    return buffer.getvalue()


async def current(database_url: str, chain: str) -> str | None:
    """The revision that a database stands at, None if it is empty. Raises ``UnknownChainError``."""
    _config(chain)
    return await _on_connection(
        database_url, lambda connection: MigrationContext.configure(connection).get_current_revision()
    )


async def compare(database_url: str, chain: str, metadata: MetaData) -> list[Any]:
    """What Alembic would change to turn the database into ``metadata``: empty if they agree."""
    _config(chain)

    def differences(connection: Connection) -> list[Any]:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _parents: kind != "table" or name not in BOOKKEEPING_TABLES,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    return await _on_connection(database_url, differences)


async def upgrade(database_url: str, chain: str, revision: str = "head") -> None:
    """Brings a database to a revision. Upgrades that run at once on one database take turns.

    Raises ``UnknownChainError``, Alembic's ``CommandError`` if the database stands at a revision that this chain does
    not have, and ``DBAPIError`` if a revision fails or another upgrade takes longer than ``WAIT_FOR_OTHERS_S``.
    A revision is applied whole or not at all; run the command again after a failure.
    """
    config = _config(chain)

    def run(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with _connect(database_url) as guard, _exclusive(guard), _connect(database_url) as connection:
        for setting in SESSION_SETTINGS:
            await connection.execute(text(setting))
        await connection.commit()
        await connection.run_sync(run)
        await connection.commit()


async def migrate(
    database_url: str,
    chain: str,
    revision: str = "head",
    *,
    grant_to: str | None = None,
    grant_read_to: str | None = None,
) -> None:
    """:func:`upgrade`, then the grants to the roles that are named: what the ``migrate`` commands do.

    Raises what :func:`upgrade` raises, and :class:`StartError` for a role that does not exist or may do too much.
    """
    await upgrade(database_url, chain, revision)
    for option, role, give in (("--grant-to", grant_to, grant), ("--grant-read-to", grant_read_to, grant_read)):
        if role is None:
            continue
        try:
            await give(database_url, role)
        except TooMuchError as error:
            raise StartError(f"{option}: {error}") from error
        except DBAPIError as error:
            if not isinstance(error.orig and error.orig.__cause__, asyncpg.UndefinedObjectError):
                raise
            raise StartError(f"{option}: there is no role {role!r}: create it, or name another") from error


async def grant(database_url: str, role: str) -> None:
    """Gives an existing login role what the program that serves a migrated database needs, and takes everything else.

    Repeatable; to be run again after each upgrade, as the role that migrates. Raises :class:`TooMuchError` if the role
    may do more all the same: nothing is changed then.
    """
    await _grant(database_url, role, program_grants)


async def grant_read(database_url: str, role: str) -> None:
    """As :func:`grant`, for a role that only reads, and no payloads: of reports and dashboards."""
    await _grant(database_url, role, reader_grants)


async def _grant(database_url: str, role: str, grants_of: Callable[[Tables], Grants]) -> None:
    async with _connect(database_url) as connection:
        tables = await connection.run_sync(_columns)
        grants = grants_of(tables)
        database = (await connection.execute(text("SELECT current_database()"))).scalar_one()
        for statement in statements(role, database, grants):
            await connection.exec_driver_sql(statement)
        expected = given(tables, grants)
        columns = [[each[position] for each in expected] for position in range(3)]
        excess = (await connection.exec_driver_sql(EXCESS, (role, *columns))).scalars().all()
        if excess:
            raise TooMuchError(role, sorted(excess))
        await connection.commit()


def _columns(connection: Connection) -> dict[str, list[str]]:
    inspector = inspect(connection)
    found = inspector.get_multi_columns(kind=ObjectKind.ANY)
    return {table: [column["name"] for column in columns] for (_, table), columns in found.items()}


def _config(chain: str, **options: Any) -> Config:
    versions = VERSIONS / chain
    if not versions.is_dir():
        raise UnknownChainError(f"no chain {chain!r} in {versions.parent}; there are: {', '.join(chains())}")
    config = Config(**options)
    config.set_main_option("script_location", str(LOCATION))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "os")
    return config


@asynccontextmanager
async def _connect(database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection of its own, closed at the end. Any ``postgresql`` URL will do: asyncpg is the only driver."""
    engine = create_async_engine(
        make_url(database_url).set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": COMMAND_TIMEOUT_S},
    )
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def _on_connection(database_url: str, read: Callable[[Connection], ResultT]) -> ResultT:
    async with _connect(database_url) as connection:
        return await connection.run_sync(read)


@asynccontextmanager
async def _exclusive(guard: AsyncConnection) -> AsyncIterator[None]:
    """Holds a table lock in an open transaction while the revisions run on another connection.

    A table's lock ends with its transaction, works through a transaction-pooling proxy, and lets the revisions
    use transactions of their own; a session advisory lock does not do the first two.
    """
    try:
        await guard.execute(text(f"CREATE TABLE IF NOT EXISTS {LOCK_TABLE} ()"))
        await guard.commit()
    except DBAPIError as error:
        # Two that create it at once: the loser trips over what the winner wrote to the catalogue. Then it exists.
        if not isinstance(error.orig.__cause__ if error.orig else None, CREATED_BY_ANOTHER):
            raise
        await guard.rollback()
    await guard.execute(text(f"SET LOCAL lock_timeout = '{WAIT_FOR_OTHERS_S:.0f}s'"))
    await guard.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    await guard.execute(text(f"LOCK TABLE {LOCK_TABLE} IN ACCESS EXCLUSIVE MODE"))
    yield
    await guard.rollback()


def main() -> None:
    """The command. Exits with 2 if it is used wrongly."""
    parser = argparse.ArgumentParser(prog="python -m migrations.runner", description=__doc__)
    parser.add_argument("action", choices=("upgrade", "current", "head", "sql", "chains"))
    parser.add_argument("chain", nargs="?", choices=chains())
    parser.add_argument("--revision", default="head", help="for upgrade: where to stop (default: head)")
    parser.add_argument("--grant-to", help="for upgrade: the login role of the program, granted what that needs")
    parser.add_argument("--grant-read-to", help="for upgrade: a login role that reads, without payloads")
    arguments = parser.parse_args()
    if arguments.action == "chains":
        sys.stdout.write("\n".join(chains()) + "\n")
        return
    if arguments.chain is None:
        parser.error(f"name the chain: {', '.join(chains())}")
    if arguments.action in {"upgrade", "current"} and "DATABASE_URL" not in os.environ:
        parser.error("set DATABASE_URL to the database, such as postgresql://user:password@host/name")
    match arguments.action:
        case "upgrade":
            roles = {"grant_to": arguments.grant_to, "grant_read_to": arguments.grant_read_to}
            try:
                asyncio.run(migrate(os.environ["DATABASE_URL"], arguments.chain, arguments.revision, **roles))
            except StartError as error:
                parser.error(str(error))
        case "current":
            sys.stdout.write(f"{asyncio.run(current(os.environ['DATABASE_URL'], arguments.chain)) or 'empty'}\n")
        case "head":
            sys.stdout.write(head(arguments.chain) + "\n")
        case _:
            sys.stdout.write(offline_sql(arguments.chain))


if __name__ == "__main__":
    main()
