"""Where every choice of a run comes from: bytes. A tape that has ended chooses what is harmless, so faults stop."""


class Tape:
    """Reads choices off ``data``. A shorter tape of smaller bytes makes a simpler run, as shrinking wants it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def has_ended(self) -> bool:
        return self._at >= len(self._data)

    def pick(self, count: int) -> int:
        """A number below ``count``; 0 once the tape has ended."""
        assert 0 < count <= 256
        if count == 1 or self.has_ended:
            return 0
        self._at += 1
        return self._data[self._at - 1] % count

    def chance(self, percent: int) -> bool:
        """True that often; never once the tape has ended."""
        return self.pick(100) >= 100 - percent
