"""``orchestrator serve`` and ``orchestrator migrate``."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Final

import asyncpg
import structlog
import typer
import uvloop
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from contracts.collecting import settle_memory
from contracts.http_server import HttpAddressError
from contracts.logs import configure_logs
from contracts.serving import is_loopback
from contracts.starting import EXIT_CODE, StartError, explain_bind, explain_database, read_settings
from contracts.tracebacks import log_of_loop
from migrations import runner
from orchestrator.app import Node
from orchestrator.cli.shared_port import held_port
from orchestrator.cli.workers import SCHEMA_EXIT_CODE, Served, Worker, WrongStartError, supervise
from orchestrator.definitions.errors import DefinitionErrors
from orchestrator.engine.ports import DefinitionChanged, SchemaUnknown
from orchestrator.rpc.access.errors import PolicyError
from orchestrator.settings import PREFIX, Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The saga orchestrator."
)
log = structlog.get_logger(__name__)

CHAIN: Final = "orchestrator"
DATABASE: Final = "DATABASE_URL"
ADDRESS: Final = f"{PREFIX}LISTEN_ADDRESS"
TOKEN_ADDRESS: Final = f"{PREFIX}TOKEN_LISTEN_ADDRESS"
WORKER: Final = ("-m", "orchestrator.cli.server", "work")
STOP_MARGIN_S: Final = 30.0
"""What a worker may take to end beside its graces."""


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
    configure_logs(settings.log_level, json=settings.log_json, fields={"node_name": settings.node_name})
    return settings


@app.command()
def serve(
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help=f"Processes that share the port; else {PREFIX}WORKERS, or 1.")
    ] = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Prints one line of JSON once it serves."""
    with _start_errors():
        settings = _settings()
        count = settings.workers if workers is None else workers
        with _database(settings) as database_url:
            if count > 1:
                _supervise(settings, database_url, count)
            else:
                _run(settings, database_url, is_worker=False)


@app.command(hidden=True)
def work() -> None:
    """One of several workers: shares the port, and also ends when its standard input does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the supervisor, which passes it on
    with _start_errors():
        settings = _settings()
        assert settings.database_url is not None, "the supervisor names the database"
        _run(settings, settings.database_url.get_secret_value(), is_worker=True)


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The URL of the database to use; an embedded server runs until the block ends.

    The embedded server's database is this program's own: it is migrated without asking.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    from orchestrator.local.databases import provide  # noqa: PLC0415  (needs the optional extra `local`)
    from orchestrator.local.postgres import EmbeddedPostgres, PostgresStartError  # noqa: PLC0415  (as above)

    server = EmbeddedPostgres(settings.data_directory / "postgres")
    try:
        server.start()
    except (OSError, PostgresStartError, ImportError) as error:
        raise StartError(f"{PREFIX}DATA_DIRECTORY: no embedded PostgreSQL in {server.directory}: {error}") from error
    with server:
        yield asyncio.run(provide(server, CHAIN)).url


def _supervise(settings: Settings, database_url: str, count: int) -> None:
    """Exits with a worker's own code if it was told something wrong, with 1 if one did not end cleanly."""
    with ExitStack() as stack:
        address = _held(stack, ADDRESS, settings.listen_address)
        shared = {f"{PREFIX}{DATABASE}": database_url, ADDRESS: address}
        serving = {"event": "serving", "address": address, "tls": settings.transport()}
        if settings.token_listen_address:
            token_address = _held(stack, TOKEN_ADDRESS, settings.token_listen_address)
            shared[TOKEN_ADDRESS] = serving["token_address"] = token_address
        environments = [shared | _own_environment(settings, number + 1) for number in range(count)]
        stop_timeout_s = 2 * settings.drain_grace_s + settings.shutdown_grace_s + STOP_MARGIN_S
        try:
            ended_cleanly = asyncio.run(_run_workers(serving, environments, stop_timeout_s))
        except WrongStartError as error:
            raise typer.Exit(error.code) from None
    if not ended_cleanly:
        raise typer.Exit(1)


def _held(stack: ExitStack, variable: str, address: str) -> str:
    """The address with the port that workers share. Raises ``StartError``."""
    try:
        return stack.enter_context(held_port(address))
    except (OSError, ValueError) as error:
        raise StartError(f"{variable}: workers cannot share {address}: {error}") from error


async def _run_workers(serving: dict[str, Any], environments: list[dict[str, str]], stop_timeout_s: float) -> bool:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    def announce(served: list[Served]) -> None:
        _announce(serving | {"workers": [asdict(each) for each in served]})

    workers = [Worker(number + 1, WORKER, environment) for number, environment in enumerate(environments)]
    return await supervise(workers, announce, stopping=stopping, stop_timeout_s=stop_timeout_s)


def _own_environment(settings: Settings, number: int) -> dict[str, str]:
    return {
        f"{PREFIX}NODE_NAME": f"{settings.node_name}-{number}",
        f"{PREFIX}CONSOLE_ADDRESS": settings.console_address if number == 1 else "",
        f"{PREFIX}METRICS_ADDRESS": _of_worker(settings.metrics_address, number),
    }


def _of_worker(address: str, number: int) -> str:
    """The first worker takes the port itself, each other one the next."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + number - 1}" if host and int(port) else address


def _run(settings: Settings, database_url: str, *, is_worker: bool) -> None:
    """One node in this process."""
    try:
        uvloop.run(_serve(settings, database_url, is_worker=is_worker))
    except DefinitionErrors as errors:
        raise StartError("\n".join(str(fault) for fault in errors.faults)) from errors
    except PolicyError as error:
        raise StartError(f"{PREFIX}POLICY_FILE: {error}") from error
    except HttpAddressError as error:
        raise StartError(f"{PREFIX}{error.setting}: {error}") from error
    except RuntimeError as error:
        told = explain_bind(error, ADDRESS, settings.listen_address)
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
        raise typer.Exit(SCHEMA_EXIT_CODE) from None


async def _serve(settings: Settings, database_url: str, *, is_worker: bool) -> None:
    log_of_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM,) if is_worker else (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    if is_worker:
        _on_end_of_input(stopping.set)
    node = Node(settings, database_url, shares_port=is_worker)
    starting = asyncio.create_task(node.start())
    asked_to_stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({starting, asked_to_stop}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            settle_memory()
            if settings.transport() == "none":
                log.warning("serving_without_tls", address=settings.listen_address, what=_who_is_served(settings))
            _announce(_serving(settings, node))
            await stopping.wait()
    finally:
        starting.cancel()
        asked_to_stop.cancel()
        await asyncio.gather(starting, asked_to_stop, return_exceptions=True)
        await node.stop()
        log.info("stopped")


def _serving(settings: Settings, node: Node) -> dict[str, Any]:
    """What is announced once a node serves."""
    found = {
        "event": "serving",
        "address": _at(settings.listen_address, node.port),
        "tls": settings.transport(),
        "node_id": str(node.engine.node_id),
    }
    if settings.token_listen_address:
        found["token_address"] = _at(settings.token_listen_address, node.token_port)
    urls = {"console": node.console_url, "metrics": node.metrics_url}
    return found | {name: url for name, url in urls.items() if url}


def _at(address: str, port: int) -> str:
    return f"{address.rpartition(':')[0]}:{port}"


def _who_is_served(settings: Settings) -> str:
    if is_loopback(settings.listen_address):
        return "this machine alone reaches the node; give it a certificate to serve others"
    return "other machines reach the node in the clear, as ALLOW_INSECURE says"


def _announce(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _on_end_of_input(stop: Callable[[], None]) -> None:
    """Calls ``stop`` once nobody holds the other end of standard input: whoever started this process has died."""
    loop = asyncio.get_running_loop()
    number = sys.stdin.fileno()

    def read() -> None:
        if not os.read(number, 1024):
            loop.remove_reader(number)
            stop()

    loop.add_reader(number, read)


@app.command()
def migrate(
    revision: Annotated[str, typer.Option(help="Stop at this revision.")] = "head",
    grant_to: Annotated[str | None, typer.Option(help="Role of the nodes: may do what they need, no more.")] = None,
    grant_read_to: Annotated[str | None, typer.Option(help="Role for reports: reads, but no payloads.")] = None,
) -> None:
    """Bring the database's schema up to this program's. Never goes back."""
    with _start_errors():
        settings = _settings()
        if settings.database_url is None:
            raise StartError(f"{DATABASE} is not set; without it `serve` migrates its own embedded database")
        database_url = settings.database_url.get_secret_value()
        try:
            roles = {"grant_to": grant_to, "grant_read_to": grant_read_to}
            asyncio.run(runner.migrate(database_url, CHAIN, revision, **roles))
        except CommandError as error:
            raise StartError(f"--revision: {error}") from error
        except (OSError, asyncpg.PostgresError, asyncpg.ClientConfigurationError, DBAPIError) as error:
            told = explain_database(error, DATABASE)
            if told is None:
                raise
            raise StartError(told) from error


def main() -> None:
    """Entry point of the ``orchestrator`` command."""
    app()


if __name__ == "__main__":
    main()
