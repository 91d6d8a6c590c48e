"""What an address in a setting must look like. The messages go to whoever set it."""

import re
from typing import Final

from sqlalchemy import make_url

MAX_PORT: Final = 65_535
SCHEMES: Final = frozenset({"postgresql", "postgres", "postgresql+asyncpg", "postgres+asyncpg"})

_HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+(?:%\w+)?\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")
_RESOLVER: Final = re.compile(r"(?:dns:(?://[^\s/]*/)?|ipv4:|ipv6:)")
_SOCKET: Final = re.compile(r"unix:.+|unix-abstract:.+")


def check_target(address: str) -> str:
    """Returns the address of a server to be called. Raises ``ValueError``."""
    if _SOCKET.fullmatch(address):
        return address
    match = _HOST_AND_PORT.fullmatch(_RESOLVER.sub("", address, count=1))
    if match is None or not 1 <= int(match["port"]) <= MAX_PORT:
        raise ValueError(f"{address!r} is no address: write host:port with a port from 1 to {MAX_PORT}, or unix:path")
    return address


def check_listen_address(address: str) -> str:
    """Returns the address to listen on; port 0 takes a free one. Raises ``ValueError``."""
    if _SOCKET.fullmatch(address):
        return address
    match = _HOST_AND_PORT.fullmatch(address)
    if match is None or int(match["port"]) > MAX_PORT:
        raise ValueError(
            f"{address!r} is no address to listen on: write host:port with a port from 0 (takes a free one) to "
            f"{MAX_PORT}, or unix:path"
        )
    return address


def check_database_url(url: str) -> None:
    """Raises ``ValueError`` with a message that holds no part of the URL, which may be its password."""
    example = "write postgresql://user:password@host:port/name, with special characters in the password as %XX"
    try:
        scheme = make_url(url).drivername
    except Exception:  # an ArgumentError, or the ValueError of a port that is no number
        raise ValueError(f"it is not a database URL: {example}") from None
    if scheme not in SCHEMES:
        raise ValueError(f"its scheme must be postgresql: {example}")
