"""Serves a participant: gRPC server, health, the interceptor around its handlers, and a clean way down."""

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contracts.collecting import settle_memory
from contracts.health import Health
from contracts.serving import SERVER_OPTIONS, ServingInterceptor, is_loopback
from contracts.tls import connection_age
from participants.kit.barrier import Barrier
from participants.kit.callers import Callers
from participants.kit.failpoints import FailingBarrier
from participants.kit.participant import Participant
from participants.kit.settings import Settings
from participants.kit.transactions import Transactions, create_engine

if TYPE_CHECKING:
    from contracts.traces.export import Spans

_log = structlog.get_logger(__name__)


class InsecureAddressError(ValueError):
    """Other machines would reach the server, which has no TLS, and no setting says that they may."""


class ParticipantServer:
    """One server of a participant. ``start`` and ``stop`` may each be called twice."""

    def __init__(self, participant: Participant, settings: Settings) -> None:
        """Raises ``ValueError`` if the participant's bindings contradict its contract.

        Raises :class:`InsecureAddressError` for an address that needs TLS or ``settings.allow_insecure``, and
        ``TlsFileError`` for TLS files that are no good.
        """
        tls = settings.server_tls()
        if tls is None and not is_loopback(settings.listen_address) and not settings.allow_insecure:
            raise InsecureAddressError(
                f"{settings.listen_address} is reached by other machines, in the clear: listen on 127.0.0.1, give it "
                "PARTICIPANT_TLS_CERT_FILE, or set PARTICIPANT_ALLOW_INSECURE=true"
            )
        participant.check()
        self._participant = participant
        self._settings = settings
        self._transactions = Transactions(create_engine(settings), settings.transaction_timeout_s)
        self._health: Final = Health()
        self._credentials = None if tls is None else tls.credentials(tls.follow())
        self._spans = settings.spans(participant.name, f"{participant.name}-{uuid4().hex[:8]}")
        self._server = _new_server(settings, self._spans)
        failpoints = settings.armed()
        barrier = Barrier(self._transactions) if failpoints is None else FailingBarrier(self._transactions, failpoints)
        self._server.add_generic_rpc_handlers(participant.rpc_handlers(barrier))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._port: int | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listens; returns the bound port. Raises ``RuntimeError`` if the address is taken."""
        if self._port is None:
            self._port = self._bind()
            await self._server.start()
            for service in ("", *self._participant.services()):
                self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return self._port

    def _bind(self) -> int:
        address = self._settings.listen_address
        if self._credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, self._credentials)

    async def stop(self) -> None:
        """Says NOT_SERVING, lets running calls and their transactions end within the grace, and closes the pool."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._drain())
        await asyncio.shield(self._stopping)

    async def _drain(self) -> None:
        self._health.end()
        await self._server.stop(self._settings.shutdown_grace_s)
        # The server has returned, but handlers whose callers are gone still carry their transactions to the end.
        await self._transactions.close(self._settings.shutdown_grace_s)
        if self._spans is not None:
            await self._spans.stop()


def _new_server(settings: Settings, spans: "Spans | None") -> grpc.aio.Server:
    interceptors: list[grpc.aio.ServerInterceptor] = []
    if spans is not None:
        from contracts.traces.server import ServerSpans  # noqa: PLC0415  (a start that needs no traces spares the SDK)

        interceptors.append(ServerSpans(spans, settings.traces_ratio))
    if settings.tls_client_ca_file is not None:
        interceptors.append(Callers(settings.callers))
    interceptors.append(
        ServingInterceptor(settings.max_message_bytes, max_concurrent_calls=settings.max_concurrent_calls)
    )
    options = SERVER_OPTIONS(settings.max_message_bytes, reuse_port=settings.reuse_port)
    if settings.tls_cert_file is not None:
        options += connection_age(settings.max_connection_age_s, settings.connection_grace_s)
    return grpc.aio.server(interceptors=interceptors, options=options)


async def serve(participant: Participant, settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Prints one line of JSON once it listens: ``{"participant": …, "port": …}``."""
    server = ParticipantServer(participant, settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        port = await server.start()
        settle_memory()
        sys.stdout.write(json.dumps({"participant": participant.name, "port": port}) + "\n")
        sys.stdout.flush()
        _log.info("participant_serving", participant=participant.name, port=port, tls=settings.transport())
        await stop.wait()
    finally:
        await server.stop()
        _log.info("participant_stopped", participant=participant.name)
