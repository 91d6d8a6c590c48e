"""The ``sagactl`` program: its commands and its entry point."""

from typing import Final

import typer

from orchestrator.cli.sagactl.commanding import root
from orchestrator.cli.sagactl.commands import acting, audit, bulk, completion, fleet, reading, starting, top, watching
from orchestrator.cli.sagactl.exits import MEANINGS

HELP: Final = """Find sagas that need an operator, see why, and repair one or thousands.

Everything that changes something asks for a reason and for confirmation, shows with --dry-run what it would do, and
prints the request id under which it can be repeated safely."""
EPILOG: Final = "Exit codes: " + "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANINGS.items()) + "."

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich", epilog=EPILOG)
root(app, HELP)
for subject in (starting, reading, watching, acting, bulk, fleet, audit, top, completion):
    subject.register(app)


def main() -> None:
    """Entry point of the ``sagactl`` command."""
    app(prog_name=completion.PROGRAM)


if __name__ == "__main__":
    main()
