"""Text of others made harmless to look at. Escaping for HTML is the templates' part, and always on."""

import unicodedata
from typing import Final

CUT: Final = 300
"""Characters of a line of text, where nothing else is said."""

MAX_MARKS: Final = 4
"""Combining marks on one letter; more would paint over the lines around it."""

_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Categories that are not seen, or that change how what follows is seen: controls, bidi marks, surrogates."""


def shown(text: str, limit: int = CUT, *, lines: bool = False) -> str:
    """The text with every hidden character as a visible code point, cut to ``limit`` characters.

    ``lines`` keeps line ends and tabs.
    """
    result: list[str] = []
    marks = 0
    for character in text[:limit]:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if category in _HIDDEN and not (lines and character in "\n\t"):
            result.append(f"⟨U+{ord(character):04X}⟩")
        elif marks <= MAX_MARKS:
            result.append(character)
    if len(text) > limit:
        result.append(f"… [{len(text) - limit:,} more characters]")
    return "".join(result)
