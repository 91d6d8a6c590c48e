"""Labels with few values: what participants send becomes one only if it looks like a reason, and never too many."""

import re
from typing import Final

MAX_REASONS: Final = 100
OTHER: Final = "OTHER"
_REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)


class Reasons:
    """The reasons that one node has told of since it began."""

    def __init__(self) -> None:
        self._known: Final[set[str]] = set()

    def bounded(self, reason: str) -> str:
        """The reason, or :data:`OTHER`."""
        if reason in self._known:
            return reason
        if len(self._known) >= MAX_REASONS or not _REASON.fullmatch(reason):
            return OTHER
        self._known.add(reason)
        return reason
