"""Tables and lines of one look."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

ID_CHARS: Final = 36
MAX_CELL_CHARS: Final = 300
"""Of one cell; what is longer belongs to `sagactl get`."""
STYLES: Final = {
    "STUCK": "bold red",
    "BLOCKED": "yellow",
    "OVERDUE": "magenta",
    "SILENT": "magenta",
    "COMPENSATING": "yellow",
    "COMPENSATED": "yellow",
    "COMPLETED": "green",
    "SUCCEEDED": "green",
    "RESOLVED": "cyan",
    "REJECTED": "yellow",
    "UNKNOWN": "yellow",
    "GRANTED": "green",
    "REFUSED": "red",
    "DONE": "green",
    "CANCELLED": "yellow",
    "OPEN": "bold red",
    "HALF_OPEN": "yellow",
    "CLOSED": "green",
}
"""Colours beside the word, never instead of it."""

Cell = str | int | Text


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, one_line: bool = False) -> Table:
    """Rows of cells. A heading that ends in ``#`` is of numbers; one that ends in ``!`` is never shortened.

    With ``one_line`` a row never takes a second line: what is too wide is cut off.
    """
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in headings:
        number, whole = heading.endswith("#"), heading.endswith("!")
        made.add_column(
            heading.rstrip("#!"),
            justify="right" if number else "left",
            no_wrap=number or whole or one_line,
            min_width=ID_CHARS if whole else None,
            overflow="ellipsis" if one_line and not whole else "fold",
        )
    for row in rows:
        made.add_row(*(cell(each) for each in row))
    return made


def cell(value: Cell) -> Text:
    """A value as it stands in a table; states have their colour."""
    if isinstance(value, Text):
        return value
    if isinstance(value, int):
        return Text(f"{value:,}")
    return Text(value if len(value) <= MAX_CELL_CHARS else f"{value[:MAX_CELL_CHARS]}…", STYLES.get(value, ""))


def pairs(rows: Iterable[tuple[str, Cell]]) -> Table:
    """Names and values, one pair a line; empty values are left out."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value != "":
            made.add_row(Text(name), Text(value) if isinstance(value, str) and value not in STYLES else cell(value))
    return made


def heading(text: str) -> Text:
    """Of a part of an answer."""
    return Text(f"\n{text}", "bold")


def bullet(text: str, style: str = "") -> Table:
    """One line of a list; what is too wide goes on below its text."""
    made = Table.grid(padding=(0, 1))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    made.add_row(Text("-"), Text(text, style))
    return made
