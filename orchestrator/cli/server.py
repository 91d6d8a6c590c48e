"""``orchestrator serve`` and ``orchestrator migrate``."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import asyncpg
import structlog
import typer
import uvloop
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from contracts.starting import EXIT_CODE, StartError, explain_bind, explain_database, read_settings
from migrations.runner import grant, upgrade
from orchestrator.app import Node
from orchestrator.definitions.errors import DefinitionErrors
from orchestrator.engine.ports import DefinitionChanged, SchemaUnknown
from orchestrator.settings import PREFIX, Settings
from orchestrator.telemetry.logs import configure_logs

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The saga orchestrator."
)
log = structlog.get_logger(__name__)

CHAIN: Final = "orchestrator"
DATABASE: Final = "DATABASE_URL"


@contextmanager
def _start_errors() -> Iterator[None]:
    """Ends the program with one line for what whoever started it can put right."""
    try:
        yield
    except StartError as error:
        if structlog.is_configured():  # settings that are wrong do not say how to log
            log.debug("start_failed", exc_info=True)
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CODE) from None


def _settings() -> Settings:
    settings = read_settings(Settings, PREFIX)
    configure_logs(settings.log_level, json=settings.log_json)
    return settings


@app.command()
def serve() -> None:
    """Serve until SIGTERM or SIGINT. Prints one line of JSON once it serves."""
    with _start_errors():
        settings = _settings()
        try:
            if settings.database_url is not None:
                uvloop.run(_serve(settings, settings.database_url.get_secret_value()))
            else:
                _serve_embedded(settings)
        except DefinitionErrors as errors:
            raise StartError("\n".join(str(fault) for fault in errors.faults)) from errors
        except RuntimeError as error:
            told = explain_bind(error, f"{PREFIX}LISTEN_ADDRESS", settings.listen_address)
            if told is None:
                raise
            raise StartError(told) from error
        except (asyncpg.PostgresError, asyncpg.ClientConfigurationError) as error:
            told = explain_database(error, DATABASE)
            if told is None:
                raise
            raise StartError(told) from error
        except (SchemaUnknown, DefinitionChanged) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(3) from None


def _serve_embedded(settings: Settings) -> None:
    """The embedded server's database is this program's own: it is migrated without asking."""
    from orchestrator.local.databases import provide  # noqa: PLC0415  (needs the optional extra `local`)
    from orchestrator.local.postgres import EmbeddedPostgres, PostgresStartError  # noqa: PLC0415  (as above)

    server = EmbeddedPostgres(settings.data_directory / "postgres")
    try:
        server.start()
    except (OSError, PostgresStartError, ImportError) as error:
        raise StartError(f"{PREFIX}DATA_DIRECTORY: no embedded PostgreSQL in {server.directory}: {error}") from error
    with server:
        database = asyncio.run(provide(server, CHAIN))
        uvloop.run(_serve(settings, database.url))


async def _serve(settings: Settings, database_url: str) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    node = Node(settings, database_url)
    starting = asyncio.create_task(node.start())
    asked_to_stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({starting, asked_to_stop}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            host = settings.listen_address.rpartition(":")[0]
            announcement = {
                "event": "serving",
                "address": f"{host}:{starting.result()}",
                "node_id": str(node.engine.node_id),
            }
            sys.stdout.write(json.dumps(announcement) + "\n")
            sys.stdout.flush()
            await stopping.wait()
    finally:
        starting.cancel()
        asked_to_stop.cancel()
        await asyncio.gather(starting, asked_to_stop, return_exceptions=True)
        await node.stop()
        log.info("stopped")


@app.command()
def migrate(
    revision: Annotated[str, typer.Option(help="Stop at this revision.")] = "head",
    grant_to: Annotated[str | None, typer.Option(help="Role of the nodes; it may then use the tables.")] = None,
) -> None:
    """Bring the database's schema up to this program's. Never goes back."""
    with _start_errors():
        settings = _settings()
        if settings.database_url is None:
            raise StartError(f"{DATABASE} is not set; without it `serve` migrates its own embedded database")
        database_url = settings.database_url.get_secret_value()
        try:
            asyncio.run(_migrate(database_url, revision, grant_to))
        except CommandError as error:
            raise StartError(f"--revision: {error}") from error
        except (OSError, asyncpg.PostgresError, asyncpg.ClientConfigurationError, DBAPIError) as error:
            told = explain_database(error, DATABASE)
            if told is None:
                raise
            raise StartError(told) from error


async def _migrate(database_url: str, revision: str, grant_to: str | None) -> None:
    await upgrade(database_url, CHAIN, revision)
    if grant_to is None:
        return
    try:
        await grant(database_url, grant_to)
    except DBAPIError as error:
        if not isinstance(error.orig and error.orig.__cause__, asyncpg.UndefinedObjectError):
            raise
        raise StartError(f"--grant-to: there is no role {grant_to!r}: create it, or name another") from error


def main() -> None:
    """Entry point of the ``orchestrator`` command."""
    app()


if __name__ == "__main__":
    main()
