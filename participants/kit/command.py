"""The command line of a participant: ``serve`` and ``migrate``."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import asyncpg
import structlog
import typer
import uvloop
from sqlalchemy.exc import DBAPIError

from contracts.logs import configure_logs
from contracts.starting import EXIT_CODE, StartError, explain_bind, explain_database, read_settings
from contracts.tracebacks import log_of_loop
from participants.kit.correlation import add_step
from participants.kit.participant import Participant
from participants.kit.server import InsecureAddressError, serve
from participants.kit.settings import Settings

_log = structlog.get_logger(__name__)
PREFIX: Final = "PARTICIPANT_"


@contextmanager
def _start_errors() -> Iterator[None]:
    """Ends the program with one line for what whoever started it can put right."""
    try:
        yield
    except StartError as error:
        if structlog.is_configured():
            _log.debug("start_failed", exc_info=True)
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CODE) from None


async def _serve(participant: Participant, settings: Settings) -> None:
    log_of_loop()
    await serve(participant, settings)


def command_line(participant: Participant, chain: str | None = None) -> typer.Typer:
    """The commands of one participant.

    ``chain`` is the folder of its revisions below ``migrations/versions``; without one there is no ``migrate``, and the
    participant brings its tables along as it likes.
    """
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help=f"The participant {participant.name}.",
    )

    @app.command("serve")
    def serve_command() -> None:
        """Serve until SIGTERM. Settings come from the environment, PARTICIPANT_DATABASE_URL first."""
        with _start_errors():
            settings = read_settings(lambda: Settings.model_validate({"application_name": participant.name}), PREFIX)
            configure_logs(
                settings.log_level,
                json=settings.log_json,
                fields={"participant": participant.name},
                processors=[add_step],
            )
            try:
                uvloop.run(_serve(participant, settings))
            except InsecureAddressError as error:
                raise StartError(f"{PREFIX}LISTEN_ADDRESS: {error}") from error
            except RuntimeError as error:
                told = explain_bind(error, f"{PREFIX}LISTEN_ADDRESS", settings.listen_address)
                if told is None:
                    raise
                raise StartError(told) from error

    @app.callback()
    def commands() -> None:
        """Keeps ``serve`` a command of its own even where it is the only one."""

    if chain is not None:

        @app.command("migrate")
        def migrate_command(
            grant_to: Annotated[
                str | None, typer.Option(help="Role that serves: may do what that needs, no more.")
            ] = None,
            grant_read_to: Annotated[str | None, typer.Option(help="Role for reports: reads, but no payloads.")] = None,
        ) -> None:
            """Bring the database's schema to the newest revision."""
            from migrations.runner import migrate  # noqa: PLC0415  (serving needs no Alembic)

            with _start_errors():
                settings = read_settings(lambda: Settings.model_validate({}), PREFIX)
                try:
                    url = settings.database_url.get_secret_value()
                    asyncio.run(migrate(url, chain, grant_to=grant_to, grant_read_to=grant_read_to))
                except (OSError, asyncpg.PostgresError, asyncpg.ClientConfigurationError, DBAPIError) as error:
                    told = explain_database(error, f"{PREFIX}DATABASE_URL")
                    if told is None:
                        raise
                    raise StartError(told) from error

    return app
