"""Lists that come in pages, gathered up to a limit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import typer
from google.protobuf.message import Message
from rich.progress import Progress, SpinnerColumn, TextColumn

from orchestrator.cli.sagactl.commanding import Session

PAGE: Final = 1_000
MAX_LIMIT: Final = 100_000

ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class Paging:
    """How much of a list."""

    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="The most lines.")] = 50
    page_token: Annotated[str, typer.Option(help="Go on after a list that was cut off: its token.")] = ""


def gather(
    session: Session, paging: Paging, method: Callable[..., ResponseT], request: Any, repeated: str
) -> ResponseT:
    """The pages of a list as one response, whose ``next_page_token`` says whether there is more.

    ``repeated`` names the field that holds the lines. Raises :class:`CommandError`.
    """
    wanted = paging.limit
    request.page_token = paging.page_token
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), console=session.screen.err, transient=True,
        disable=wanted <= PAGE or not session.screen.err.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("reading")
        request.page_size = min(PAGE, wanted)
        gathered: Any = session.connection.call(method, request)
        while gathered.next_page_token and (count := len(getattr(gathered, repeated))) < wanted:
            progress.update(task, description=f"reading: {count:,} lines")
            request.page_token, request.page_size = gathered.next_page_token, min(PAGE, wanted - count)
            page: Any = session.connection.call(method, request)
            getattr(gathered, repeated).extend(getattr(page, repeated))
            gathered.next_page_token = page.next_page_token
    return gathered  # type: ignore[no-any-return]  # it is what the method returned first


def say_if_cut(session: Session, token: str) -> None:
    """Says how to see more of a list that was cut off."""
    if token and not session.screen.as_json:
        session.screen.note(f"there is more: --limit (up to {MAX_LIMIT:,}), or --page-token {token}", "dim")
