"""Where answers go: tables for people, JSON for scripts on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.text import Text

from orchestrator.cli.sagactl.exits import CommandError
from orchestrator.cli.sagactl.harmless import MessageT, harmless, plain

PIPED_WIDTH: Final = 1_000
"""Columns where the output is no terminal: lines are then for programs, which do not wrap."""


class Screen:
    """Standard output and standard error of this process as they are now."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json: Final = as_json
        self.out: Final = _console(sys.stdout)
        self.err: Final = _console(sys.stderr)

    @property
    def now(self) -> datetime:
        """What ages are counted from."""
        return now()

    def answer(self, message: MessageT, lay_out: Callable[[MessageT], Iterable[RenderableType]]) -> None:
        """Shows an answer: as protobuf JSON, or as ``lay_out`` lays out a copy of it that is harmless to show."""
        if self.as_json:
            self.json(message)
            return
        for part in lay_out(harmless(message)):
            self.show(part)

    def show(self, part: RenderableType) -> None:
        """A part of an answer for people; without the blanks at the ends of lines where a program reads them."""
        if self.out.is_terminal:
            self.out.print(part)
            return
        with self.out.capture() as captured:
            self.out.print(part)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
        sys.stdout.flush()  # what cannot be written is an error now, and not when Python ends

    def json(self, message: Message, *, indent: int | None = 2) -> None:
        """One document; with ``indent`` None on one line. Whatever is not ASCII, or a control character, is escaped."""
        sys.stdout.write(
            MessageToJson(message, always_print_fields_with_no_presence=True, indent=indent, ensure_ascii=True) + "\n"
        )
        sys.stdout.flush()

    def note(self, text: str, style: str = "") -> None:
        """A line beside the answer."""
        self.err.print(Text(plain(text), style), soft_wrap=True)

    def error(self, error: CommandError) -> None:
        """The one line that an error is worth: for people, or an object for scripts."""
        if self.as_json:
            told: dict[str, Any] = {
                "message": error.text,
                "advice": error.advice,
                "status": error.status,
                "reason": error.reason,
                "exitCode": int(error.exit_code),
            }
            sys.stderr.write(json.dumps({"error": told}) + "\n")
            return
        reason = f" ({plain(error.reason)})" if error.reason else ""
        line = Text.assemble(("sagactl: ", "bold red"), plain(error.text), reason)
        if error.advice:
            line.append(f"; {plain(error.advice)}")
        self.err.print(line, soft_wrap=True)


def _console(file: Any) -> Console:
    """Never takes text for markup, and never fails for a character that the terminal's encoding lacks."""
    if hasattr(file, "reconfigure"):
        file.reconfigure(errors="backslashreplace")
    piped = not file.isatty() and "COLUMNS" not in os.environ
    return Console(
        file=file, markup=False, emoji=False, highlight=False, width=PIPED_WIDTH if piped else None, safe_box=True
    )


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)
