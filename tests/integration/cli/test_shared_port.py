"""A port that several processes share, and nobody else."""

import socket

import pytest

from orchestrator.cli.shared_port import held_port


def listening(address: str, *, shared: bool) -> socket.socket:
    """As gRPC listens. Raises ``OSError``."""
    host, _, port = address.rpartition(":")
    opened = socket.socket()
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((host, int(port)))
        opened.listen()
    except OSError:
        opened.close()
        raise
    return opened


def test_a_free_port_is_found_and_kept_for_those_who_share_it() -> None:
    with held_port("127.0.0.1:0") as address:
        assert not address.endswith(":0")
        with pytest.raises(OSError, match="in use"):
            listening(address, shared=False)
        with listening(address, shared=True), listening(address, shared=True):
            for _ in range(8):  # those who hold it take no connection
                socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=5).close()
    with held_port(address) as again:
        assert again == address


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_where_somebody_listens_is_refused(shared: bool) -> None:
    with (
        listening("127.0.0.1:0", shared=shared) as other,
        pytest.raises(OSError, match="in use"),
        held_port(f"127.0.0.1:{other.getsockname()[1]}"),
    ):
        pass


def test_every_address_of_a_host_gets_the_same_port() -> None:
    with held_port("localhost:0") as address, held_port("localhost:0") as other:
        assert address.startswith("localhost:")
        assert address != other


def test_a_unix_socket_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match="one worker"), held_port("unix:/tmp/a.sock"):
        pass
