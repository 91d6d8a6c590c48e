"""Why a program did not start, in one line for whoever started it: which variable or what thing, and what to do.

Only errors that a wrong setting or a missing thing can cause are explained; every other one is a defect and keeps its
traceback.
"""

import os
import re
from collections.abc import Callable
from typing import Final, TypeVar

import asyncpg
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

EXIT_CODE: Final = 2
"""Of a program that was started wrongly."""

_SettingsT = TypeVar("_SettingsT", bound=BaseSettings)
_CANNOT_BIND: Final = "Failed to bind to address"
"""How gRPC begins the message of its ``RuntimeError``; it has no class of its own."""


class StartError(Exception):
    """The program cannot start as it was told to; the message says what to do, in one line for each fault."""


def read_settings(make: Callable[[], _SettingsT], prefix: str) -> _SettingsT:
    """The settings from the environment. Raises :class:`StartError`, which never quotes a value."""
    try:
        return make()
    except SettingsError as error:
        raise StartError(_not_json(prefix, str(error))) from None
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        raise StartError("\n".join(_fault(prefix, each["loc"], each["msg"]) for each in faults)) from None


def _not_json(prefix: str, message: str) -> str:
    found = re.search(r'field "(\w+)"', message)
    name = f"{prefix}{found[1].upper()}" if found else f"a variable {prefix}…"
    return f'{name} is not JSON: write a list as ["a", "b"], an object as {{"name": ["a"]}}'


def _fault(prefix: str, location: tuple[str | int, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:
        # ``model_validate`` wraps the ``SettingsError`` of a variable that is no JSON into an error of its own.
        return _not_json(prefix, message) if message.startswith("error parsing value for field") else message
    name, *inside = (str(part) for part in location)
    name = name.upper() if name.upper().startswith(prefix) else prefix + name.upper()
    unprefixed = name.removeprefix(prefix)
    if name not in os.environ and unprefixed == "DATABASE_URL" and unprefixed in os.environ:
        name = unprefixed
    return f"{name}: {', '.join(inside) + ': ' if inside else ''}{message}"


def explain_bind(error: RuntimeError, variable: str, address: str) -> str | None:
    """What gRPC's refusal to listen means; None for any other ``RuntimeError``."""
    if not str(error).startswith(_CANNOT_BIND):
        return None
    return (
        f"{variable}: cannot listen on {address}: the port is taken, or the address is not this machine's; end the "
        "other program, or choose another address (port 0 takes a free one)"
    )


def explain_database(error: BaseException, variable: str) -> str | None:
    """What an error of connecting, or of a role that lacks something, means; None if it means none of these.

    Looks through the errors that a library wrapped around the driver's.
    """
    current: BaseException | None = error
    for _ in range(8):
        if current is None:
            break
        match current:
            case asyncpg.InvalidCatalogNameError():
                return f"{variable}: the database that it names does not exist: create it, or name another"
            case asyncpg.InvalidAuthorizationSpecificationError():
                return f"{variable}: the server refuses this user: check user, password and pg_hba.conf"
            case asyncpg.ClientConfigurationError():
                return f"{variable}: its options are wrong: {current}"
            case asyncpg.InsufficientPrivilegeError():
                return f"{variable}: this role may not do that ({current}): use the role that owns the schema"
            case asyncpg.CannotConnectNowError() | asyncpg.TooManyConnectionsError():
                return f"{variable}: the server takes no connection now ({type(current).__name__}): try again later"
            case OSError():
                kind = type(current).__name__
                return f"{variable}: no database answers there ({kind}): start it, or correct host and port"
            case _:
                current = getattr(current, "orig", None) or current.__cause__
    return None
