"""Where the console's node is. Apart, because nodes without a console import nothing else of it."""


def own_address(listen_address: str, port: int) -> str:
    """Where a node that listens on ``listen_address``, and got ``port``, is reached from its own machine."""
    if listen_address.startswith(("unix:", "unix-abstract:")):
        return listen_address
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  (not listened on)
    name, _, configured = listen_address.rpartition(":")
    return f"{host.get(name, name)}:{port or configured}"
