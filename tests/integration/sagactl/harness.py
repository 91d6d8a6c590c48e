"""What ``sagactl`` is run against: the stand-in of the operators' service, and one of the generic door."""

# ruff: noqa: N802  (handlers have the names of the contract)
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import event_pb2, saga_pb2
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_service_pb2 as saga_pb
from saga.v1.operator_service_pb2_grpc import add_SagaOperatorServiceServicer_to_server
from saga.v1.saga_service_pb2_grpc import SagaServiceServicer, add_SagaServiceServicer_to_server

from contracts.errors import Reason, RpcError
from contracts.serving import ServingInterceptor
from tests.fixtures.operator_service import START_S, OperatorStandIn

STUCK_ID = "01900000-0000-7000-8000-000000000000"
RUNNING_ID = "01900000-0000-7000-8000-000000000001"
UNKNOWN_ID = "01900000-0000-7000-8000-00000000ffff"
BULK_ID = "01900000-0000-7000-9000-000000000000"


class Operator(OperatorStandIn):
    """The stand-in with the methods that only this command's tests need."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []
        self.refused = 0
        self.breaks = 0

    async def _moved(self, request: Any, response: Any, action: op.OperatorAction.ValueType) -> Any:
        self.requests.append(request)
        saga, plan = self._act(request, action, saga_pb2.SAGA_STATE_RUNNING)
        return response(saga=saga, plan=plan)

    async def RetryNow(self, request: Any, context: Any) -> Any:
        return await self._moved(request, pb.RetryNowResponse, op.OPERATOR_ACTION_RETRY)

    async def RetryCompensation(self, request: Any, context: Any) -> Any:
        return await self._moved(request, pb.RetryCompensationResponse, op.OPERATOR_ACTION_RETRY_COMPENSATION)

    async def SkipStep(self, request: Any, context: Any) -> Any:
        return await self._moved(request, pb.SkipStepResponse, op.OPERATOR_ACTION_SKIP_STEP)

    async def PauseSaga(self, request: Any, context: Any) -> Any:
        return await self._moved(request, pb.PauseSagaResponse, op.OPERATOR_ACTION_PAUSE)

    async def ResumeSaga(self, request: Any, context: Any) -> Any:
        return await self._moved(request, pb.ResumeSagaResponse, op.OPERATOR_ACTION_RESUME)

    async def StartBulk(self, request: Any, context: Any) -> pb.StartBulkResponse:
        self.requests.append(request)
        return await super().StartBulk(request, context)

    def _bulk(self, bulk_id: str) -> op.Bulk:
        if bulk_id not in self.bulks:
            raise RpcError(grpc.StatusCode.NOT_FOUND, Reason.BULK_NOT_FOUND, f"no bulk has the id {bulk_id}")
        return self.bulks[bulk_id]

    async def WatchBulk(self, request: Any, context: Any) -> AsyncIterator[pb.WatchBulkResponse]:
        bulk = self._bulk(request.bulk_id)
        yield pb.WatchBulkResponse(bulk=bulk)
        if self.breaks:
            self.breaks -= 1
            raise RpcError(grpc.StatusCode.UNAVAILABLE, Reason.NODE_DRAINING, "the node is shutting down")
        bulk.refused, bulk.granted = self.refused, bulk.members - self.refused
        bulk.state = op.BULK_STATE_DONE
        yield pb.WatchBulkResponse(bulk=bulk)

    async def GetBulk(self, request: Any, context: Any) -> pb.GetBulkResponse:
        return pb.GetBulkResponse(bulk=self._bulk(request.bulk_id))

    async def ListBulks(self, request: Any, context: Any) -> pb.ListBulksResponse:
        return pb.ListBulksResponse(bulks=self.bulks.values())

    async def ListBulkMembers(self, request: Any, context: Any) -> pb.ListBulkMembersResponse:
        refusal = saga_pb2.Failure(code=9, reason="SAGA_STATE", message="it is COMPLETED")
        member = op.BulkMember(saga_id=STUCK_ID, outcome=op.AUDIT_OUTCOME_REFUSED, refusal=refusal)
        return pb.ListBulkMembersResponse(members=[member])

    async def CancelBulk(self, request: Any, context: Any) -> pb.CancelBulkResponse:
        bulk = self._bulk(request.bulk_id)
        if bulk.state != op.BULK_STATE_RUNNING:
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, Reason.BULK_STATE, "the bulk has ended")
        bulk.state = op.BULK_STATE_CANCELLED
        return pb.CancelBulkResponse(bulk=bulk)

    async def HoldParticipant(self, request: Any, context: Any) -> pb.HoldParticipantResponse:
        self.held.add(request.service)
        status = op.ParticipantStatus(service=request.service, held=True, held_by="local", hold_reason=request.reason)
        return pb.HoldParticipantResponse(participant=status)

    async def ReleaseParticipant(self, request: Any, context: Any) -> pb.ReleaseParticipantResponse:
        self.held.discard(request.service)
        return pb.ReleaseParticipantResponse(participant=op.ParticipantStatus(service=request.service))

    async def DrainNode(self, request: Any, context: Any) -> pb.DrainNodeResponse:
        drained = Timestamp(seconds=START_S)
        return pb.DrainNodeResponse(node=op.Node(node_id=request.node_id, name="node", alive=True, drain_time=drained))


PAYLOAD = b"of a participant, for the engine alone"


class Sagas(SagaServiceServicer):
    """Starts, waits and watches; a watch loses its connection ``breaks`` times, after two events each."""

    def __init__(self) -> None:
        self.breaks = 0
        self.started: list[saga_pb.StartSagaRequest] = []
        self.end = event_pb2.EVENT_TYPE_SAGA_COMPLETED
        self.state = saga_pb2.SAGA_STATE_COMPLETED
        self.lose_start = False

    async def StartSaga(self, request: saga_pb.StartSagaRequest, context: Any) -> saga_pb.StartSagaResponse:
        again = any(each.request_id == request.request_id for each in self.started)
        self.started.append(request)
        if self.lose_start:
            raise RpcError(
                grpc.StatusCode.DEADLINE_EXCEEDED, Reason.OUTCOME_PENDING, "it is not known whether it started"
            )
        saga = saga_pb2.Saga(
            saga_id=RUNNING_ID, definition=request.definition, version=2, request_id=request.request_id
        )
        saga.state = saga_pb2.SAGA_STATE_RUNNING
        return saga_pb.StartSagaResponse(saga=saga, already_started=again)

    async def GetSaga(self, request: saga_pb.GetSagaRequest, context: Any) -> saga_pb.GetSagaResponse:
        return saga_pb.GetSagaResponse(saga=saga_pb2.Saga(saga_id=request.saga_id, state=self.state, last_seq=6))

    async def WaitSaga(self, request: saga_pb.WaitSagaRequest, context: Any) -> saga_pb.WaitSagaResponse:
        return saga_pb.WaitSagaResponse(saga=saga_pb2.Saga(saga_id=request.saga_id, state=self.state))

    async def WatchSaga(
        self, request: saga_pb.WatchSagaRequest, context: Any
    ) -> AsyncIterator[saga_pb.WatchSagaResponse]:
        for sent, seq in enumerate(range(request.after_seq + 1, 7)):
            if sent == 2 and self.breaks:
                self.breaks -= 1
                raise RpcError(grpc.StatusCode.UNAVAILABLE, Reason.NODE_DRAINING, "the node is shutting down")
            event = event_pb2.SagaEvent(saga_id=request.saga_id, seq=seq, type=event_pb2.EVENT_TYPE_STEP_SUCCEEDED)
            event.step_succeeded.step, event.step_succeeded.attempt = f"step-{seq}", 1
            event.step_succeeded.duration_ms, event.step_succeeded.response = 12, PAYLOAD
            event.event_time.seconds = START_S + seq
            if seq == 6:
                event = event_pb2.SagaEvent(saga_id=request.saga_id, seq=seq, type=self.end)
            yield saga_pb.WatchSagaResponse(event=event)


@asynccontextmanager
async def serving(
    operator: OperatorStandIn,
    sagas: SagaServiceServicer | None = None,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[str]:
    """Serves both on a free port of the loopback, perhaps with TLS; yields the address."""
    sagas = sagas or Sagas()  # type: ignore[abstract]  # its other methods answer UNIMPLEMENTED
    server = grpc.aio.server(interceptors=[ServingInterceptor(1 << 20)])
    add_SagaOperatorServiceServicer_to_server(operator, server)
    add_SagaServiceServicer_to_server(sagas, server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
