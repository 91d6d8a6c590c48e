"""The embedded server: durable, shared, and back after any end."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from orchestrator.local.postgres import EmbeddedPostgres, PostgresStartError
from orchestrator.local.postmaster import has_ended
from tests.fixtures.postgres import connect, execute

HOLD = """
import sys
from pathlib import Path
from orchestrator.local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), end_with_process=sys.argv[2] == "end")
server.start()
print(server.pid, flush=True)
sys.stdin.read()
server.stop()
"""
WAIT_S = 30.0


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pg") / "pg"


def hold_in_a_process(directory: Path, *, end: bool = False) -> tuple[subprocess.Popen[str], psutil.Process]:
    """Another process that holds the server, and the server."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory), "end" if end else "keep"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    return holder, psutil.Process(int(holder.stdout.readline()))


def end(holder: subprocess.Popen[str]) -> None:
    holder.communicate("", timeout=WAIT_S)


async def test_it_forgets_nothing_and_nobody_can_turn_that_off(directory: Path) -> None:
    with EmbeddedPostgres(directory, settings={"work_mem": "5MB"}) as server:
        await execute(server.url(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        connection = await connect(server.url())
        try:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                assert await connection.fetchval(f"SHOW {setting}") == "on"
            assert await connection.fetchval("SHOW work_mem") == "5MB"
        finally:
            await connection.close()


async def test_strangers_are_kept_out(directory: Path) -> None:
    with EmbeddedPostgres(directory, listen_port=0) as server:
        for path, mode in ((directory, 0o700), (directory / "password", 0o600), (directory / "data", 0o700)):
            assert stat.S_IMODE(os.stat(path).st_mode) == mode
        with pytest.raises(Exception, match="password authentication failed"):
            await connect(server.url(password="guess", tcp=True))


async def test_start_and_stop_may_be_said_twice(directory: Path) -> None:
    server = EmbeddedPostgres(directory)
    server.start()
    server.start()
    process = psutil.Process(server.pid)
    server.stop()
    server.stop()
    assert has_ended(process)


async def test_the_last_holder_ends_it(directory: Path) -> None:
    holder, process = hold_in_a_process(directory)
    with EmbeddedPostgres(directory) as server:
        assert server.pid == process.pid
        end(holder)
        await execute(server.url(), "SELECT 1")
    assert has_ended(process)


async def test_it_outlives_the_kill_of_its_starter_and_is_joined_again(directory: Path) -> None:
    holder, process = hold_in_a_process(directory)
    holder.kill()
    end(holder)
    with EmbeddedPostgres(directory) as server:
        assert server.pid == process.pid
        await execute(server.url(), "SELECT 1")
    assert has_ended(process)


async def test_it_ends_with_its_starter_where_asked(directory: Path) -> None:
    holder, process = hold_in_a_process(directory, end=True)
    holder.kill()
    end(holder)
    process.wait(WAIT_S)


async def test_a_killed_server_recovers_what_was_committed(directory: Path) -> None:
    with EmbeddedPostgres(directory, listen_port=0) as server:
        address = server.url(tcp=True)
        await execute(server.url(), "CREATE TABLE kept AS SELECT 1 AS one")
        server.kill()
        server.restart()
        assert server.url(tcp=True) == address
        await execute(server.url(), "SELECT one FROM kept")


async def test_an_id_that_went_to_another_program_does_not_stop_the_start(directory: Path) -> None:
    with EmbeddedPostgres(directory) as server:
        pid_file = directory / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        server.kill()
        lines[0] = str(os.getpid())
        pid_file.write_text("\n".join(lines) + "\n")
        server.restart()
        await execute(server.url(), "SELECT 1")


async def test_an_unfinished_cluster_is_made_anew(directory: Path) -> None:
    (directory / "data.new").mkdir(parents=True)
    (directory / "data.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(directory) as server:
        await execute(server.url(), "SELECT 1")


async def test_a_deep_directory_gets_its_socket_elsewhere(directory: Path) -> None:
    with EmbeddedPostgres(directory / ("d" * 100)) as server:
        await execute(server.url(), "SELECT 1")


def test_a_server_that_cannot_start_says_why(directory: Path) -> None:
    with EmbeddedPostgres(directory):
        pass
    server = EmbeddedPostgres(directory, settings={"max_connections": "none"}, start_timeout_s=3.0)
    with pytest.raises(PostgresStartError, match="max_connections"):
        server.start()


def test_loopback_is_asked_for(directory: Path) -> None:
    with EmbeddedPostgres(directory) as server, pytest.raises(RuntimeError, match="listen_port"):
        server.url(tcp=True)


def test_nothing_is_started_by_stopping(directory: Path) -> None:
    EmbeddedPostgres(directory).stop()
    assert not directory.exists()


def test_the_launcher_does_not_start_what_its_parent_left_behind(tmp_path: Path) -> None:
    launcher = Path(sys.modules[EmbeddedPostgres.__module__].__file__ or "").with_name("launch.py")
    mark = tmp_path / "mark"
    arguments = ["1", str(int(signal.SIGTERM)), "", "/bin/sh", "-c", f"touch {mark}"]
    subprocess.run([sys.executable, str(launcher), *arguments], check=True, timeout=WAIT_S)
    assert not mark.exists()
