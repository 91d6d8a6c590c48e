"""What demonstrations share: a directory of their own, and an end that is said in one line and in the exit code."""

import asyncio
import fcntl
import shutil
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from grpc.aio import AioRpcError
from rich.console import Console
from rich.markup import escape

from orchestrator.local.customer import OrderTimeoutError
from orchestrator.local.postgres import PostgresStartError
from orchestrator.local.processes import ChildError

MARK: Final = ".demo"
"""Says that a directory is the demonstration's own, to be emptied."""


class DirectoryInUseError(Exception):
    """The directory is not free for a demonstration; the message says what to do."""


class DemonstrationError(Exception):
    """It did not come to what it should show; the message says how far it came."""


EXPECTED: Final = (
    *(DirectoryInUseError, DemonstrationError, OrderTimeoutError),
    *(ChildError, PostgresStartError, TimeoutError, AioRpcError),
)
"""Said in one line; anything else is a defect, and its traceback is shown."""


def end_with(show: Coroutine[Any, Any, bool], console: Console, directory: Path) -> None:
    """Runs ``show`` in a fresh ``directory`` and exits.

    With 0 if it returns True, with 1 if it does not or fails, with 130 if it was cut short.
    """
    try:
        with fresh(directory):
            held = asyncio.run(show)
    except (*EXPECTED, ExceptionGroup) as error:
        first = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
        if not isinstance(first, EXPECTED):
            raise
        said = f"{first.code().name}: {first.details()}" if isinstance(first, AioRpcError) else str(first)
        console.print(f"[bold red]The demo failed:[/] {escape(said) or 'it took too long'}", soft_wrap=True)
        sys.exit(1)
    except (asyncio.CancelledError, KeyboardInterrupt):
        console.print("Ended before it was done.")
        sys.exit(130)
    finally:
        show.close()
    sys.exit(0 if held else 1)


@contextmanager
def fresh(directory: Path) -> Iterator[None]:
    """Empties the demonstration's own directory, which one run at a time may use.

    Raises ``DirectoryInUseError`` for one that another run uses, or that holds what no run has left there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()) and not (directory / MARK).exists():
        raise DirectoryInUseError(f"{directory} holds other files: name an empty directory")
    with directory.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUseError(f"another demo runs in {directory}: wait for it or end it") from None
        shutil.rmtree(directory)
        directory.mkdir()
        (directory / MARK).touch()
        yield
