"""Tables and lines of one look."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

ID_CHARS: Final = 36
GAP: Final = 2
"""Between columns."""
MAX_CELL_CHARS: Final = 300
"""Of one cell; what is longer belongs to `sagactl get`."""
LIST_CELL_CHARS: Final = 64
"""Of one cell of a list, where each row should be a line or two."""
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


class Rows:
    """A table that leaves out what it can where it is narrow, before it breaks cells into lines."""

    def __init__(self, headings: Sequence[str], cells: list[list[Text]]) -> None:
        self._headings, self._cells = headings, cells

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        shown = list(range(len(self._headings)))
        optional = [index for index in shown if self._headings[index].endswith("?")]
        while optional and sum(self._width(index) + GAP for index in shown) - GAP > options.max_width:
            shown.remove(optional.pop())
        made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
        for index in shown:
            flags = self._headings[index][len(self._name(index)) :]
            whole = "#" in flags or "!" in flags
            made.add_column(
                self._name(index),
                justify="right" if "#" in flags else "left",
                no_wrap=whole,
                min_width=min(self._width(index), ID_CHARS) if whole else None,
                overflow="fold",
            )
        for row in self._cells:
            made.add_row(*(row[index] for index in shown))
        yield made

    def _name(self, index: int) -> str:
        return self._headings[index].rstrip("#!?")

    def _width(self, index: int) -> int:
        return max([len(self._name(index)), *(row[index].cell_len for row in self._cells)])


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, cell_chars: int = MAX_CELL_CHARS) -> Rows:
    """Rows of cells. Flags at the end of a heading: ``#`` for numbers and ``!`` for ids, neither of which is ever cut
    up; then ``?`` for what is left out where it is narrow, the last such column first.

    The other cells go on in the next line where it is narrow, and are cut off after ``cell_chars``.
    """
    return Rows(headings, [[cell(each, cell_chars) for each in row] for row in rows])


def cell(value: Cell, max_chars: int = MAX_CELL_CHARS) -> Text:
    """A value as it stands in a table; states have their colour."""
    if isinstance(value, Text):
        return value
    if isinstance(value, int):
        return Text(f"{value:,}")
    return Text(value if len(value) <= max_chars else f"{value[:max_chars]}…", STYLES.get(value, ""))


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
