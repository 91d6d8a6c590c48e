"""Calls participants: one channel for each target, calls spread over the targets of a service in turn."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

import grpc

from contracts.errors import Reason
from contracts.following import Follower
from contracts.tls import ClientTls
from orchestrator.engine.ports import Answer, Call
from orchestrator.rpc.answers import NO_ADDRESS, answer_to, local_answer
from orchestrator.rpc.targets import ChannelSettings, Target, open_channel

# Quoted: generic in the type stubs alone.
_Stub: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

_OK: Final = 0


class _Metadata(grpc.aio.Metadata):
    """Pairs as they are. gRPC's own class first sorts them into a dictionary of lists, which nobody asks here."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs: Final = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)


class _Service:
    """The channels of one service. An attempt uses one of them."""

    __slots__ = ("_channels", "_last", "_stubs")

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self._channels = tuple(channels)
        self._last = 0
        self._stubs: dict[str, tuple[_Stub, ...]] = {}

    def replace(self, old: grpc.aio.Channel, new: grpc.aio.Channel) -> None:
        """Calls that begin from now on take the new channel."""
        self._channels = tuple(new if channel is old else channel for channel in self._channels)
        self._stubs = {}

    def stub(self, path: str) -> _Stub:
        """The method on the next target that is not known to be unreachable; if all are, on the next one."""
        stubs = self._stubs.get(path)
        if stubs is None:  # no serializers: bytes in, bytes out
            stubs = self._stubs[path] = tuple(channel.unary_unary(path) for channel in self._channels)
        count = len(stubs)
        if count == 1:
            return stubs[0]
        start = self._last + 1
        for index in range(start, start + count):
            chosen = index % count
            # A channel in this state reconnects by itself, within max_reconnect_backoff_s.
            if self._channels[chosen].get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                break
        else:
            chosen = start % count
        self._last = chosen
        return stubs[chosen]


class ParticipantChannels:
    """The ``Participants`` port over gRPC.

    ``targets`` maps the full name of a service, such as ``inventory.v1.InventoryService``, to where it is served.
    Services at the same target share its connection.
    """

    def __init__(
        self,
        targets: Mapping[str, Sequence[Target]],
        settings: ChannelSettings | None = None,
        follower: Follower | None = None,
    ) -> None:
        """Opens no connection yet; needs a running event loop. Raises ``TlsFileError`` for TLS files that are no good.

        ``follower`` tells when those of a target are renewed. Without it a channel keeps what it was opened with.
        """
        self._settings: Final = settings or ChannelSettings()
        distinct = {target for several in targets.values() for target in several}
        self._followed: Final = {tls: tls.follow() for tls in {target.tls for target in distinct} if tls is not None}
        self._channels: Final = {target: self._open(target) for target in distinct}
        self._services: Final = {
            service: _Service([self._channels[target] for target in several])
            for service, several in targets.items()
            if several
        }
        self._retired: Final[dict[grpc.aio.Channel, asyncio.TimerHandle]] = {}
        self._closing: Final[set[asyncio.Task[None]]] = set()
        if follower is not None:
            for tls, followed in self._followed.items():
                follower.follow(followed, partial(self._renew, tls))

    @property
    def services(self) -> frozenset[str]:
        """The services that have an address."""
        return frozenset(self._services)

    async def call(self, call: Call) -> Answer:
        """One attempt. Cancelling the task cancels the RPC; see :class:`orchestrator.engine.ports.Participants`."""
        service = self._services.get(call.service)
        if service is None:
            text = f"no address is configured for {call.service}"
            return local_answer(grpc.StatusCode.UNIMPLEMENTED, NO_ADDRESS, text)
        if len(call.request) > self._settings.max_message_bytes:
            return self._too_large(call)
        try:
            # Not ready is not waited for: the saga's own backoff does that. Awaiting the call directly is what
            # cancels it together with this task.
            sent = service.stub(call.path)(call.request, timeout=call.deadline_s, metadata=_Metadata(call.metadata))
            response = await sent
        except grpc.aio.AioRpcError as error:
            return answer_to(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return self._closed()  # close() cancelled the RPC, nobody this task
        except grpc.aio.UsageError:
            return self._closed()
        return Answer(_OK, response)

    async def close(self) -> None:
        """Cancels what is in flight and closes the channels. May be called twice."""
        for timer in self._retired.values():
            timer.cancel()
        for channel in (*self._channels.values(), *self._retired):
            await channel.close()

    def _open(self, target: Target) -> grpc.aio.Channel:
        followed = None if target.tls is None else self._followed[target.tls]
        return open_channel(target, self._settings, followed)

    async def _renew(self, tls: ClientTls) -> None:
        """Opens anew what was opened with these files."""
        await asyncio.gather(*(self._renew_target(target) for target in self._channels if target.tls == tls))

    async def _renew_target(self, target: Target) -> None:
        """Calls in flight end where they began."""
        new = self._open(target)
        await self._connected(new)  # or the next calls would all wait for the handshake
        old, self._channels[target] = self._channels[target], new
        for service in self._services.values():
            service.replace(old, new)
        # Not closed with a grace: that refuses calls which were sent an instant ago and have not left yet.
        timer = asyncio.get_running_loop().call_later(self._settings.retire_after_s, self._retire, old)
        self._retired[old] = timer

    async def _connected(self, channel: grpc.aio.Channel) -> None:
        """Returns once it is connected, and after a while also if it is not: the target may be away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await channel.channel_ready()

    def _retire(self, channel: grpc.aio.Channel) -> None:
        del self._retired[channel]
        closing = asyncio.create_task(channel.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _too_large(self, call: Call) -> Answer:
        text = f"the request of {call.path} has {len(call.request)} bytes, over {self._settings.max_message_bytes}"
        return local_answer(grpc.StatusCode.INVALID_ARGUMENT, Reason.MESSAGE_TOO_LARGE, text)

    @staticmethod
    def _closed() -> Answer:
        return local_answer(grpc.StatusCode.UNAVAILABLE, Reason.NODE_DRAINING, "this node closed its channels")
