"""Single keys from a terminal, without echo and without Enter; and Ctrl-C, which must not get lost."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


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


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether Ctrl-C was pressed. It raises ``KeyboardInterrupt`` as ever, too.

    An exception that comes while a callback or a destructor of a library runs is printed and forgotten.
    """
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
