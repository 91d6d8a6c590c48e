"""Where log lines go. A process must outlive its log: where a disk is full, lines are lost, not sagas."""

from contextlib import suppress
from typing import TextIO


class LossyStream:
    """Writes like ``stream``, and drops what that does not take: no ``OSError`` reaches the code that logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Returns how many characters were asked for."""
        with suppress(OSError, ValueError):  # no space, a closed pipe, a closed file
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As far as that is possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()
