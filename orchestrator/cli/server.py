"""``orchestrator serve`` and ``orchestrator migrate``."""

import asyncio
import json
import signal
import sys
from typing import Annotated

import structlog
import typer
import uvloop
from pydantic import ValidationError

from migrations.runner import grant, upgrade
from orchestrator.app import Node
from orchestrator.definitions.errors import DefinitionErrors
from orchestrator.engine.ports import DefinitionChanged, SchemaUnknown
from orchestrator.settings import Settings
from orchestrator.telemetry.logs import configure_logs

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The saga orchestrator.")
log = structlog.get_logger(__name__)

CHAIN = "orchestrator"


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in fault["loc"]).upper()
            typer.echo(f"{name or 'settings'}: {fault['msg']}", err=True)
        raise typer.Exit(2) from None


@app.command()
def serve() -> None:
    """Serve until SIGTERM or SIGINT. Prints one line of JSON once it serves."""
    settings = _settings()
    configure_logs(settings.log_level, json=settings.log_json)
    try:
        if settings.database_url is not None:
            uvloop.run(_serve(settings, settings.database_url.get_secret_value()))
        else:
            _serve_embedded(settings)
    except DefinitionErrors as errors:
        for fault in errors.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(2) from None
    except (SchemaUnknown, DefinitionChanged) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3) from None


def _serve_embedded(settings: Settings) -> None:
    """The embedded server's database is this program's own: it is migrated without asking."""
    from orchestrator.local.databases import provide  # noqa: PLC0415  (needs the optional extra `local`)
    from orchestrator.local.postgres import EmbeddedPostgres  # noqa: PLC0415  (as above)

    with EmbeddedPostgres(settings.data_directory / "postgres") as server:
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
    settings = _settings()
    if settings.database_url is None:
        typer.echo("DATABASE_URL is not set; without it `serve` migrates its own embedded database", err=True)
        raise typer.Exit(2)
    database_url = settings.database_url.get_secret_value()
    asyncio.run(upgrade(database_url, CHAIN, revision))
    if grant_to is not None:
        asyncio.run(grant(database_url, grant_to))


def main() -> None:
    """Entry point of the ``orchestrator`` command."""
    app()


if __name__ == "__main__":
    main()
