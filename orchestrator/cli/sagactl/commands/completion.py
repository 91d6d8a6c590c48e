"""``completion``: the script that completes commands and options in a shell."""

from typing import Annotated, Final

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # it is there, unexported

PROGRAM: Final = "sagactl"
SHELLS: Final = ("bash", "zsh", "fish")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("completion")(completion)


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help=f"One of {', '.join(SHELLS)}.")],
) -> None:
    """Print the completion script of a shell: eval "$(sagactl completion bash)"."""
    if shell not in SHELLS:
        raise typer.BadParameter(f"{shell!r} is none of {', '.join(SHELLS)}")
    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=f"_{PROGRAM.upper()}_COMPLETE", shell=shell))
