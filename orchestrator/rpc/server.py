"""The gRPC server of a node: the generic door, the typed front doors, health and reflection."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from saga.v1 import operator_service_pb2, saga_service_pb2
from saga.v1.operator_service_pb2_grpc import add_SagaOperatorServiceServicer_to_server
from saga.v1.saga_service_pb2_grpc import add_SagaServiceServicer_to_server

from contracts.health import MAX_UNDER_WAY, SERVICE_NAME, Health
from contracts.serving import SERVER_OPTIONS, ServingInterceptor, is_loopback
from contracts.tls import ServerTls, connection_age
from orchestrator.definitions.front_doors import FrontDoor, front_doors
from orchestrator.definitions.registry import Registry
from orchestrator.engine.api import SagaEngine
from orchestrator.engine.ports import QueryStore
from orchestrator.operations.operators import Operators
from orchestrator.rpc.access.access import Access
from orchestrator.rpc.access.guard import Guard
from orchestrator.rpc.access.permissions import check_complete
from orchestrator.rpc.access.settings import AccessSettings
from orchestrator.rpc.admission import Gate, start_methods
from orchestrator.rpc.backlog import CHANNELZ, Backlog, server_ids
from orchestrator.rpc.front_door import front_door_handlers
from orchestrator.rpc.in_flight import InFlight
from orchestrator.rpc.limits.interceptor import CallerLimits
from orchestrator.rpc.operator_service import OperatorService
from orchestrator.rpc.saga_service import SagaService
from orchestrator.rpc.settings import RpcSettings

_ABORT_S: Final = 5.0
"""How long handlers may take to unwind once their calls were aborted."""

_QUIET_S: Final = 0.1
_QUIET_TIMEOUT_S: Final = 1.0
"""``grpc.aio`` ends calls that reach it as it stops with a bare CANCELLED, or not at all. So callers are first told in
words to go elsewhere, and the transport is stopped once none has come for a while, or they do not leave off."""

_Status = health_pb2.HealthCheckResponse


class RpcServer:
    """Serves callers from :meth:`start` to :meth:`stop`. Its health is NOT_SERVING until :meth:`set_serving`."""

    def __init__(
        self,
        settings: RpcSettings,
        engine: SagaEngine,
        queries: QueryStore,
        registry: Registry,
        *,
        operators: Operators | None = None,
        credentials: grpc.ServerCredentials | None = None,
        access: AccessSettings | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        """Needs a running event loop. Without ``operators`` their service is not served. ``credentials``
        are used instead of those that ``settings.tls`` gives.

        Without ``access`` nobody is asked who calls, and everybody may do everything. Raises ``DefinitionErrors`` for a
        faulty front door, ``TlsFileError`` for TLS files that are no good, ``PolicyError`` for a faulty policy,
        ``PermissionMissing`` for a served RPC that the table of permissions lacks, and ``ValueError`` if other machines
        would reach the address without TLS or without a policy, and ``settings.allow_insecure`` does not say that they
        may.
        """
        guarded = (credentials or settings.tls) is not None and access is not None
        for address in filter(None, (settings.listen_address, settings.token_listen_address)):
            if not guarded and not is_loopback(address) and not settings.allow_insecure:
                raise ValueError(
                    f"{address} is reached by other machines: give the server a certificate and a policy, "
                    "listen on 127.0.0.1, or set allow_insecure"
                )
        self._settings: Final = settings
        self._tls_files: Final = None if settings.tls is None else settings.tls.follow()
        self._credentials: Final = credentials or self._credentials_of(settings.tls)
        self._in_flight: Final = InFlight()
        self.health: Final = Health()
        doors = front_doors(registry)
        starts = {door.method.path: door.definition.name for door in doors}
        self._access: Final = None if access is None else Access(access, starts)
        others = server_ids()
        self._server: Final = grpc.aio.server(
            interceptors=[
                self._in_flight,
                *interceptors,
                *([] if self._access is None else [self._access.interceptor]),
                CallerLimits(settings.callers, settings.max_concurrent_rpcs),
                Gate(engine, start_methods(doors), settings.max_message_bytes),
                ServingInterceptor(
                    settings.max_message_bytes,
                    max_concurrent_calls=settings.max_concurrent_rpcs,
                    slow_reader_s=settings.slow_reader_s,
                ),
                *([] if self._access is None else [_guard(queries, operators)]),
            ],
            options=[
                *SERVER_OPTIONS(
                    settings.max_message_bytes, reuse_port=settings.reuse_port, max_connections=settings.max_connections
                ),
                *_connection_age(settings),
                CHANNELZ,
            ],
            # A backstop, with room for health: the interceptor refuses before this does, and says why.
            maximum_concurrent_rpcs=2 * (settings.max_concurrent_rpcs + MAX_UNDER_WAY),
        )
        ids = server_ids() - others
        engine.watch_delay(Backlog(min(ids, default=None), self._in_flight.handled).wait_s)
        add_SagaServiceServicer_to_server(SagaService(engine, queries, registry, settings), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        handlers = front_door_handlers(doors, engine, settings.max_wait_s)
        self._server.add_generic_rpc_handlers(handlers)
        generic = saga_service_pb2.DESCRIPTOR.services_by_name["SagaService"].full_name
        services = [generic]
        if operators is not None:
            add_SagaOperatorServiceServicer_to_server(OperatorService(operators, queries, settings), self._server)
            services.append(operator_service_pb2.DESCRIPTOR.services_by_name["SagaOperatorService"].full_name)
        self._services: Final = (*services, *sorted({door.method.service for door in doors}))
        if settings.reflection:
            names = (*self._services, SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        if self._access is not None:
            check_complete(_descriptors(doors, self._services, settings), starts)
        self.token_port = 0
        self._stopping: asyncio.Task[bool] | None = None

    @property
    def services(self) -> tuple[str, ...]:
        """Full names of the served services, beside health and reflection."""
        return self._services

    @property
    def certificate_lapses_at(self) -> datetime | None:
        """When the certificate in use lapses; None without TLS."""
        return None if self._tls_files is None else self._tls_files.expires_at

    async def start(self) -> int:
        """Binds and serves; returns the port (0 for a Unix socket). Raises ``RuntimeError`` if it cannot bind."""
        settings = self._settings
        port = self._bind(settings.listen_address, self._credentials)
        if settings.token_listen_address and settings.tls is not None:
            credentials = self._credentials_of(replace(settings.tls, client_ca_file=None))
            self.token_port = self._bind(settings.token_listen_address, credentials)
        if self._access is not None:
            self._access.start()
        await self.set_serving(False)
        await self._server.start()
        return port

    def _credentials_of(self, tls: ServerTls | None) -> grpc.ServerCredentials | None:
        return None if tls is None or self._tls_files is None else tls.credentials(self._tls_files)

    def _bind(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        if credentials is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, credentials)
        return 0 if address.startswith("unix") else port

    async def set_serving(self, serving: bool) -> None:
        """Says through health whether callers should come here. Calls are served either way."""
        status = _Status.SERVING if serving else _Status.NOT_SERVING
        for service in ("", *self._services):
            self.health.set(service, status)

    async def stop(self, grace_s: float | None = None) -> bool:
        """Takes no new calls, lets those in flight go on for ``grace_s``, aborts the rest and waits for their ends.

        The engine has stopped by then and refuses what still comes: up to a second is spent on telling callers so.
        May be called twice. False if a handler had not ended even then.
        """
        if self._stopping is None:
            grace_s = self._settings.shutdown_grace_s if grace_s is None else grace_s
            self._stopping = asyncio.create_task(self._stop(grace_s))
        return await asyncio.shield(self._stopping)

    async def _stop(self, grace_s: float) -> bool:
        self.health.end()
        await self._in_flight.quiet(_QUIET_S, min(_QUIET_TIMEOUT_S, grace_s))
        await self._server.stop(grace_s)
        ended = await self._in_flight.ended(_ABORT_S)
        if self._access is not None:
            await self._access.stop()
        return ended


def _guard(queries: QueryStore, operators: Operators | None) -> Guard:
    return Guard(queries.visible, None if operators is None else operators.store.visible_bulks)


def _descriptors(
    doors: Iterable[FrontDoor], services: Iterable[str], settings: RpcSettings
) -> Iterator[ServiceDescriptor]:
    """Of every service that is served."""
    found = {door.method.service: door.method.service_descriptor for door in doors}
    pool = saga_service_pb2.DESCRIPTOR.pool
    for name in (*services, SERVICE_NAME, *([reflection.SERVICE_NAME] if settings.reflection else [])):
        yield found.get(name) or pool.FindServiceByName(name)


def _connection_age(settings: RpcSettings) -> list[tuple[str, int]]:
    if settings.tls is None:
        return []
    return connection_age(settings.max_connection_age_s, settings.connection_grace_s)
