"""A TCP port that several processes listen on: found, and kept from other programs, before the first one starts."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

ATTEMPTS: Final = 20
"""How often another free port is tried, for a host name with several addresses."""


@contextmanager
def held_port(address: str) -> Iterator[str]:
    """Yields ``host:port`` with the port that was found if ``address`` has port 0, and holds it until the block ends.

    The sockets are bound and do not listen, so no connection comes here; processes of the same user bind beside them
    with SO_REUSEPORT. Raises ``OSError`` if the port is taken, also by such a group, or the host is not this machine's;
    ``ValueError`` for a Unix socket, which cannot be shared.
    """
    if address.startswith("unix"):
        raise ValueError("a Unix socket is listened on by one process: give host:port, or run one worker")
    host, _, port = address.rpartition(":")
    with ExitStack() as stack:
        yield f"{host}:{_find(stack, host.strip('[]'), int(port))}"


def _find(stack: ExitStack, host: str, port: int) -> int:
    for _ in range(0 if port else ATTEMPTS - 1):
        try:
            return _bind(stack, host, port)
        except OSError:
            stack.close()  # free at the host's first address, and taken at another one
    return _bind(stack, host, port)


def _bind(stack: ExitStack, host: str, port: int) -> int:
    """Binds every address of the host to one port, and returns that."""
    names = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, where in dict.fromkeys(names):
        at = (where[0], port, *where[2:])
        if port:
            with socket.socket(family, kind, protocol) as probe:
                # Without SO_REUSEPORT, so that whoever listens is in the way; what is left of connections is not.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(at)
        kept = stack.enter_context(socket.socket(family, kind, protocol))
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            kept.bind(at)
        except OSError:  # what is left of the connections of a listener that did not share
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind(at)
        port = int(kept.getsockname()[1])
    return port
