"""``top``: what needs attention now, live."""

import json
import time
from datetime import timedelta
from typing import Annotated, Final

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.commanding import Session, command
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.harmless import harmless, plain
from orchestrator.cli.sagactl.keys import interrupts, keys
from orchestrator.cli.sagactl.layouts.overview import ASCII_BARS, BARS, overview
from orchestrator.cli.sagactl.words import parse_span

_WINDOW: Final = "1h"
_BUCKETS: Final = 60
_QUIT: Final = {"q", "Q", "\x03", "\x04", "\x1b"}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "top")(top)


def top(
    session: Session,
    *,
    interval_s: Annotated[float, typer.Option(min=0.5, max=600, help="Seconds between looks.")] = 2,
    window: Annotated[
        timedelta, typer.Option(parser=parse_span, metavar="SPAN", help="How far the plots look back, up to 24h.")
    ] = _WINDOW,  # type: ignore[assignment]  # Typer parses the default, too
    definition: Annotated[str, typer.Option(help="Only sagas of this definition.")] = "",
    once: Annotated[bool, typer.Option("--once", help="One look; so it is where the output is no terminal.")] = False,
) -> None:
    """Show what needs attention, how the last hour went, and the participants; q ends it."""
    look = _Look(session, pb.GetOverviewRequest(buckets=_BUCKETS, definition=definition))
    look.request.window.FromTimedelta(window)
    if session.screen.as_json:
        told, participants = look.read()
        both = {"overview": MessageToDict(told), "participants": MessageToDict(participants)}
        typer.echo(json.dumps(both, indent=2))
        return
    if once or not session.screen.out.is_terminal:
        session.screen.show(look.drawn())
        return
    _live(look, session.screen.out, interval_s)


def _live(look: "_Look", console: Console, interval_s: float) -> None:
    first = look.drawn()  # what hinders it is told before the screen is taken
    try:
        with (
            interrupts() as interrupted,
            keys() as next_key,
            Live(first, console=console, screen=True, auto_refresh=False) as live,
        ):
            while next_key(interval_s) not in _QUIT:
                if interrupted():
                    raise KeyboardInterrupt
                live.update(look.drawn_or_last(), refresh=True)
    finally:  # Ctrl-C may come while the screen is being taken
        console.set_alt_screen(enable=False)
        console.show_cursor()


class _Look:
    """What is on the screen, drawn anew from the node each time."""

    def __init__(self, session: Session, request: pb.GetOverviewRequest) -> None:
        self.request = request
        self._session = session
        self._bars = ASCII_BARS if session.screen.out.options.ascii_only else BARS
        self._last = Group()
        self._read_at = time.monotonic()

    def read(self) -> tuple[pb.GetOverviewResponse, pb.ListParticipantsResponse]:
        """Raises :class:`CommandError`."""
        connection = self._session.connection
        return (
            connection.call(connection.operator.GetOverview, self.request),
            connection.call(connection.operator.ListParticipants, pb.ListParticipantsRequest()),
        )

    def drawn(self) -> Group:
        """Raises :class:`CommandError`."""
        told, participants = self.read()
        address = plain(self._session.connection.address)
        self._last = Group(
            *overview(harmless(told), harmless(participants), self._session.screen.now, address, self._bars)
        )
        self._read_at = time.monotonic()
        return self._last

    def drawn_or_last(self) -> Group:
        """What was seen last and why there is nothing newer, where the node does not answer for a while."""
        try:
            return self.drawn()
        except CommandError as error:
            if error.exit_code is not ExitCode.NO_ANSWER:
                raise
            since = time.monotonic() - self._read_at
            told = Text(f"{plain(error.text)}; seen {since:.0f} s ago, trying again", "bold red")
            return Group(told, self._last)
