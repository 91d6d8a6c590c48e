"""The running PostgreSQL server, as the ``postmaster.pid`` of its data directory describes it."""

from dataclasses import dataclass
from pathlib import Path

import psutil

COMPLETE_LINES = 8
"""Lines of a ``postmaster.pid`` whose server accepts connections or is about to."""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A live server. The address is empty until the server has written it."""

    process: psutil.Process
    socket_directory: str
    port: int
    listens_on_tcp: bool
    ready: bool


def has_ended(process: psutil.Process) -> bool:
    """True once the process is gone, or waits only for its parent to notice."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def read_postmaster(data: Path) -> Postmaster | None:
    """The live server of a data directory; None if there is none, whatever a stale file says."""
    file = data / "postmaster.pid"
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
        process = psutil.Process(int(lines[0]))
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return None  # absent, being written, or left behind: the server tells these apart itself
    if has_ended(process) or not _serves(process, data):
        # A process has that id, and PostgreSQL would take it for a running server: it waits for its parent to notice
        # its end, or it is another program. Backends left over are still found, by their shared memory.
        file.unlink(missing_ok=True)
        return None
    if len(lines) < COMPLETE_LINES:
        return Postmaster(process, "", 0, listens_on_tcp=False, ready=False)
    return Postmaster(process, lines[4], int(lines[3]), bool(lines[5]), lines[7] == "ready")


def _serves(process: psutil.Process, data: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == data.resolve()
    except psutil.Error:
        return False
