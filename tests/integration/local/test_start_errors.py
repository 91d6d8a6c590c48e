"""The commands against databases, ports and directories that are not as they should be."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from orchestrator.local.postgres import EmbeddedPostgres

WAIT_S = 60.0
NODE = ("orchestrator.cli.server", "ORCHESTRATOR")
PARTICIPANT = ("participants.inventory", "PARTICIPANT")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("pg") / "pg", end_with_process=True) as server:
        yield server


def refused(module: str, *arguments: str, lines: int = 1, environment: dict[str, str]) -> str:
    """Runs a command that must refuse in so many lines at the most; returns the last one."""
    kept = {name: value for name, value in os.environ.items() if "DATABASE_URL" not in name}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    told = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert len(told) <= lines, done.stderr
    return told[-1]


def url_of(server: EmbeddedPostgres, **changes: str) -> str:
    return make_url(server.url()).set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]  # names


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_that_is_missing(server: EmbeddedPostgres, command: str) -> None:
    environment = {"DATABASE_URL": url_of(server, database="none"), "ORCHESTRATOR_LISTEN_ADDRESS": "127.0.0.1:0"}
    told = refused("orchestrator.cli.server", command, lines=2, environment=environment)
    assert told.startswith("DATABASE_URL: the database that it names does not exist")


def test_a_password_that_is_wrong(server: EmbeddedPostgres) -> None:
    told = refused("orchestrator.cli.server", "migrate", environment={"DATABASE_URL": url_of(server, password="guess")})
    assert told.startswith("DATABASE_URL: the server refuses this user")
    assert "guess" not in told


@pytest.mark.parametrize(("module", "prefix"), [NODE, PARTICIPANT])
def test_migrating_a_dead_database(module: str, prefix: str) -> None:
    told = refused(module, "migrate", environment={f"{prefix}_DATABASE_URL": "postgresql://127.0.0.1:1/none"})
    assert "DATABASE_URL: no database answers there" in told


def test_a_revision_and_a_role_that_do_not_exist(server: EmbeddedPostgres) -> None:
    url = server.url()
    assert refused(
        "orchestrator.cli.server", "migrate", "--revision", "none", environment={"DATABASE_URL": url}
    ).startswith("--revision: ")
    told = refused("orchestrator.cli.server", "migrate", "--grant-to", "nobody", environment={"DATABASE_URL": url})
    assert told == "--grant-to: there is no role 'nobody': create it, or name another"


@pytest.mark.parametrize(("module", "prefix"), [NODE, PARTICIPANT])
def test_a_port_that_is_taken(module: str, prefix: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = {
            f"{prefix}_DATABASE_URL": "postgresql://127.0.0.1:1/none",
            f"{prefix}_LISTEN_ADDRESS": address,
        }
        told = refused(module, "serve", lines=4, environment=environment)
    assert told.startswith(f"{prefix}_LISTEN_ADDRESS: cannot listen on {address}")


def test_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = refused(
        "orchestrator.cli.server", "serve", environment={"ORCHESTRATOR_DATA_DIRECTORY": str(tmp_path / "file")}
    )
    assert told.startswith("ORCHESTRATOR_DATA_DIRECTORY: no embedded PostgreSQL in ")
