"""The console's channel to its own node, which goes on when the node's certificate is renewed."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc

from contracts.following import Follower
from contracts.tls import ServerTls, own_client

RETIRE_S: Final = 60.0
"""How long a channel whose certificate was renewed stays for the calls in flight on it: above all their deadlines."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 32 << 20),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class NodeChannel:
    """What the generated stubs ask of a channel. Each call takes the newest connection.

    With TLS it trusts the node's own certificate alone, and presents it. gRPC repeats no call that the node has seen.
    """

    def __init__(self, address: str, tls: ServerTls | None, follower: Follower | None = None) -> None:
        """Connects at the first call; needs a running event loop. Raises ``TlsFileError``."""
        self._address: Final = address
        self._tls: Final = tls
        self._followed: Final = None if tls is None else tls.follow()
        self._retired: Final[set[grpc.aio.Channel]] = set()
        self._channel = self._open()
        if self._followed is not None and follower is not None:
            follower.follow(self._followed, self._renew)

    def unary_unary(self, method: str, **serializers: Any) -> Callable[..., Any]:
        """As that of ``grpc.aio.Channel``."""
        return self._newest("unary_unary", method, serializers)

    def unary_stream(self, method: str, **serializers: Any) -> Callable[..., Any]:
        """As that of ``grpc.aio.Channel``."""
        return self._newest("unary_stream", method, serializers)

    async def close(self) -> None:
        """Ends the calls that are under way."""
        for channel in (self._channel, *self._retired):
            await channel.close()

    def _newest(self, kind: str, method: str, serializers: dict[str, Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            return getattr(self._channel, kind)(method, **serializers)(*arguments, **named)

        return call

    def _open(self) -> grpc.aio.Channel:
        if self._tls is None or self._followed is None:
            return grpc.aio.insecure_channel(self._address, options=_OPTIONS)
        credentials, options = own_client(self._tls, self._followed)
        return grpc.aio.secure_channel(self._address, credentials, options=[*_OPTIONS, *options])

    async def _renew(self) -> None:
        old, self._channel = self._channel, self._open()
        self._retired.add(old)
        # gRPC closes a channel with the last reference to it.
        asyncio.get_running_loop().call_later(RETIRE_S, self._retired.discard, old)
