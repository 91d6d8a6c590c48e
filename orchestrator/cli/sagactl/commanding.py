"""Turns a function into a command: options from dataclasses, a session to work with, errors as one line and a code."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any, Final, TypeVar, cast, get_type_hints

import typer

from orchestrator.cli.sagactl.connection import Connection
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.options import Options
from orchestrator.cli.sagactl.screen import Screen

OUTPUTS: Final = ("table", "json")

CommandT = TypeVar("CommandT", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Session:
    """What a command works with: the node, and the terminal."""

    connection: Connection
    screen: Screen


def command(app: typer.Typer, name: str) -> Callable[[CommandT], CommandT]:
    """Registers a function as a command.

    Its parameter ``session`` is opened for it. A parameter that is a dataclass of options becomes its fields, so that
    commands share options; :class:`Options` are added to every command.
    """

    def register(function: CommandT) -> CommandT:
        app.command(name)(_expanded(function))
        return function

    return register


def group(app: typer.Typer, name: str, *, help: str) -> Callable[[CommandT], typer.Typer]:  # noqa: A002  (Typer's word)
    """Registers a function as a command that has commands below it; it runs if none of them is named."""

    def register(function: CommandT) -> typer.Typer:
        inner = typer.Typer(help=help)
        inner.callback(invoke_without_command=True)(_expanded(function))
        app.add_typer(inner, name=name)
        return inner

    return register


def root(app: typer.Typer, text: str) -> None:
    """Lets the common options stand before the command's name, too. ``text`` is the help of the whole program."""

    def keep() -> None:
        raise AssertionError("without a command the help is shown")

    keep.__doc__ = text
    app.callback()(_expanded(keep))


def _expanded(function: Callable[..., None]) -> Callable[..., None]:
    hints = get_type_hints(function, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint) and hint is not Session}
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in groups and name != "session"
    ]
    shared = [parameter for kind in (*groups.values(), Options) for parameter in _parameters(kind)]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    def run(*, ctx: typer.Context, **given: Any) -> None:
        options = _taken(Options, given)
        before = cast("Options | None", ctx.obj)
        ctx.obj = options = options if before is None else _merged(before, options)
        if ctx.invoked_subcommand is not None:
            return
        arguments = {name: _taken(kind, given) for name, kind in groups.items()}
        with _session(options) as session:
            function(**({"session": session} if "session" in hints else {}), **arguments, **given)

    parameters = [context, *own, *shared]
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__doc__ = function.__doc__
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _parameters(kind: Any) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        default: Any = inspect.Parameter.empty if field.default is MISSING else field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
        )


def _taken(kind: Any, given: dict[str, Any]) -> Any:
    return kind(**{field.name: given.pop(field.name) for field in fields(kind)})


def _merged(before: Options, own: Options) -> Options:
    said = {field.name: getattr(own, field.name) for field in fields(own)}
    return replace(before, **{name: value for name, value in said.items() if value is not None})


@contextmanager
def _session(options: Options) -> Iterator[Session]:
    """Ends the command with one line and its code for every error that has a meaning."""
    screen = Screen(as_json=options.output == "json")
    try:
        with closing(_connect(options)) as connection:
            yield Session(connection, screen)
    except CommandError as error:
        screen.error(error)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:  # whoever read has seen enough
        raise
    except OSError as error:
        _give_output_up()
        screen.error(CommandError(ExitCode.DEFECT, f"the answer cannot be written: {error.strerror}"))
        raise typer.Exit(ExitCode.DEFECT) from None
    except KeyboardInterrupt:
        screen.note("interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _give_output_up() -> None:
    """Lets what is left in the buffer go nowhere: Python would try it again at its end, and make the exit code 120."""
    with suppress(OSError, ValueError):  # a stand-in for standard output has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _connect(options: Options) -> Connection:
    if options.output not in (None, *OUTPUTS):
        raise CommandError(ExitCode.USAGE, f"--output is {options.output!r}: give {' or '.join(OUTPUTS)}")
    return Connection(options)
