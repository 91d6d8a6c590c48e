"""Single keys from a terminal, without echo and without Enter."""

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Yields a function that waits for a key for some seconds: the key, or an empty string.

    The terminal is as it was afterwards. Without a terminal it only waits.
    """
    if not sys.stdin.isatty():
        yield lambda seconds: _key(None, seconds)
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield lambda seconds: _key(terminal, seconds)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _key(terminal: int | None, seconds: float) -> str:
    ready, _, _ = select.select([] if terminal is None else [terminal], [], [], seconds)
    return os.read(ready[0], 1).decode("latin-1") if ready else ""
