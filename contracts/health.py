"""``grpc.health.v1``, which asks nobody who asks: so no question may cost others anything.

The servicer of grpcio-health-checking writes to each watcher under the lock that setting a status takes: one watcher
that does not read keeps every status as it is, and its server from stopping. It keeps names of any length, too.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contracts.errors import Reason, RpcError

# Quoted: generic in the type stubs alone.
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Status: TypeAlias = health_pb2.HealthCheckResponse.ServingStatus.ValueType

SERVICE_NAME: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
MAX_NAME_CHARS: Final = 256
MAX_UNDER_WAY: int = 1_000
"""Checks, and watchers, until the transport is done with them."""
UNREAD_S: float = 10.0
"""How long an answer may wait for its caller to read it, before the call is dropped."""
RETRY_S: Final = 1.0

_Answer = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # no stubs: its base is untyped
    """The status of each service; that of the name "" is the whole server's. To be served by a ``ServingInterceptor``,
    which bounds how long a watcher may take to read.
    """

    def __init__(self) -> None:
        self._statuses: Final[dict[str, Status]] = {"": _Answer.SERVING}
        self._changed = asyncio.Event()
        self._has_ended = False
        self._checks: Final[set[asyncio.Task[Any]]] = set()
        self._watchers: Final[set[asyncio.Task[Any]]] = set()

    @property
    def checks(self) -> int:
        """Checks under way."""
        return len(self._checks)

    @property
    def watchers(self) -> int:
        """Watchers under way."""
        return len(self._watchers)

    def set(self, service: str, status: Status) -> None:
        """Tells whoever watches. Does nothing after :meth:`end`."""
        if not self._has_ended:
            self._statuses[service] = status
            self._tell()

    def end(self) -> None:
        """Every service is NOT_SERVING from now on."""
        self._has_ended = True
        self._statuses.update(dict.fromkeys(self._statuses, _Answer.NOT_SERVING))
        self._tell()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> health_pb2.HealthCheckResponse:  # noqa: N802  (the contract's name, as below)
        """NOT_FOUND for a name that no service has."""
        _drop_unread(_enter(self._checks))
        status = self._statuses.get(_name(request))
        if status is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, Reason.INVALID_REQUEST, "service: this server serves none such")
        return _Answer(status=status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> AsyncGenerator[health_pb2.HealthCheckResponse, None]:
        """Tells the newest status: who reads slowly misses some. SERVICE_UNKNOWN as long as no service has the name."""
        service, last = _name(request), None
        task = _enter(self._watchers)
        try:
            while True:
                changed = self._changed
                status = self._statuses.get(service, _Answer.SERVICE_UNKNOWN)
                if status == last:
                    await changed.wait()
                    continue
                last = status
                yield _Answer(status=status)
        finally:
            _drop_unread(task)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _enter(under_way: "set[asyncio.Task[Any]]") -> "asyncio.Task[Any]":
    """Counts the RPC until its task is over, which an answer that nobody reads keeps it from."""
    if len(under_way) >= MAX_UNDER_WAY:
        text = f"{MAX_UNDER_WAY} questions about this server's health are under way already; ask again later"
        raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVER_CAPACITY, text, retry_delay_s=RETRY_S)
    task = asyncio.current_task()
    assert task is not None, "gRPC serves each RPC in a task of its own"
    under_way.add(task)
    task.add_done_callback(under_way.discard)
    return task


def _drop_unread(task: "asyncio.Task[Any]") -> None:
    """Ends the RPC, unless that has come to its end when its answer should have been read."""
    timer = asyncio.get_running_loop().call_later(UNREAD_S, task.cancel)
    task.add_done_callback(lambda _: timer.cancel())


def _name(request: health_pb2.HealthCheckRequest) -> str:
    service: str = request.service
    if len(service) > MAX_NAME_CHARS:
        text = f"service: has more than {MAX_NAME_CHARS} characters"
        raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_REQUEST, text)
    return service
