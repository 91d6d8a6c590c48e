"""A client of HTTP/2 that asks and does not read, as gRPC's own clients always do. Frames by hand, as in RFC 9113."""

import socket
import struct
from collections.abc import Iterator
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM: Final = 1
END_HEADERS: Final = 4
INITIAL_WINDOW_SIZE: Final = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def opening(window: int = 0) -> bytes:
    """What a client says first: how many bytes of each answer it takes before it has said more."""
    return PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window))


def call(number: int, path: str, message: bytes, **metadata: str) -> bytes:
    """A whole unary call, the ``number``-th of its connection."""
    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    headers |= {"content-type": "application/grpc", "te": "trailers"}
    headers |= {name.replace("_", "-"): value for name, value in metadata.items()}
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())
    stream = 2 * number + 1
    body = b"\0" + struct.pack(">I", len(message)) + message
    return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body)


def _text(text: str) -> bytes:
    assert len(text) < 127, "longer ones are written in another way"
    return bytes([len(text)]) + text.encode()


def frames(connection: socket.socket, quiet_s: float) -> Iterator[tuple[int, int, int]]:
    """Kind, flags and stream of each frame that comes, until none has come for a while."""
    connection.settimeout(quiet_s)
    rest = b""
    while True:
        try:
            got = connection.recv(65_536)
        except TimeoutError:
            return
        if not got:
            return
        rest += got
        while len(rest) >= 9 and len(rest) >= 9 + (size := int.from_bytes(rest[:3], "big")):
            yield rest[3], rest[4], int.from_bytes(rest[5:9], "big") & 0x7FFFFFFF
            rest = rest[9 + size :]
