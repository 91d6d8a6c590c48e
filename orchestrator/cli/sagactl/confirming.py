"""What every action asks before it is done: why, and whether you mean it."""

import sys
import uuid
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.harmless import plain

MAX_REASON_CHARS: Final = 1_000
_PANEL: Final = "The action"


@dataclass(frozen=True, slots=True)
class Consent:
    """Options of everything that changes something."""

    reason: Annotated[
        str | None,
        typer.Option("--reason", "-r", help="Why, for the audit log; asked for if missing.", rich_help_panel=_PANEL),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.", rich_help_panel=_PANEL)] = (
        False
    )
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.", rich_help_panel=_PANEL)] = (
        False
    )
    request_id: Annotated[
        str | None,
        typer.Option(
            help="Repeats what was asked for under this id, if its answer was lost; else a new one.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def settled(self) -> "Asked":
        """Asks for the reason where there is somebody to ask. Raises :class:`CommandError`."""
        return Asked(self._reason(), self.dry_run, self.yes, self.request_id or str(uuid.uuid4()))

    def _reason(self) -> str:
        reason = (self.reason or "").strip()
        if not reason and self.dry_run:
            return "dry run"
        if not reason and interactive():
            reason = ask("Reason, for the audit log").strip()
        if not reason:
            raise CommandError(ExitCode.USAGE, "--reason is missing", "say why, for the audit log")
        if len(reason) > MAX_REASON_CHARS:
            text = f"--reason has {len(reason):,} characters, and may have {MAX_REASON_CHARS:,}"
            raise CommandError(ExitCode.USAGE, text, "shorten it")
        return reason


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, why, and under which id."""

    reason: str
    dry_run: bool
    yes: bool
    request_id: str

    def confirm(self, question: str) -> None:
        """Returns if the answer is yes. Raises :class:`CommandError`."""
        if self.yes:
            return
        require_someone()
        try:
            agreed = typer.confirm(plain(question), err=True)
        except typer.Abort:
            agreed = False
        if not agreed:
            raise CommandError(ExitCode.NOT_CONFIRMED, "not confirmed; nothing was done")

    def check(self) -> None:
        """Raises :class:`CommandError` early if nobody could confirm."""
        if not self.yes and not self.dry_run:
            require_someone()


def require_someone() -> None:
    """Raises :class:`CommandError` unless somebody is there to confirm."""
    if not interactive():
        text = "nobody can confirm: standard input is no terminal"
        raise CommandError(ExitCode.USAGE, text, "look at it with --dry-run, then give --yes")


def interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> str:
    """A line that somebody types. Raises :class:`CommandError` if nobody does."""
    try:
        return str(typer.prompt(question, err=True, default="", show_default=False))
    except typer.Abort:
        raise CommandError(ExitCode.NOT_CONFIRMED, "no reason was given; nothing was done") from None
