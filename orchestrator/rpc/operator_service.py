"""``saga.v1.SagaOperatorService``: see the contract for each method. Here: the fleet, and who calls."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb

from contracts.errors import Reason
from orchestrator.engine.breakers import BreakerState
from orchestrator.engine.lanes import ParticipantStatus
from orchestrator.engine.stored import Visibility
from orchestrator.operations.messages import timestamp
from orchestrator.operations.values import (
    AuditAction,
    AuditRecord,
    DefinitionRow,
    Hold,
    NodeRow,
    Selection,
)
from orchestrator.rpc.calls import Context, caller_of, tenant_of, visibility_of
from orchestrator.rpc.error_mapping import READING, engine_errors, refuse_nul
from orchestrator.rpc.identity import CURRENT
from orchestrator.rpc.operator_acting import OperatorActing
from orchestrator.rpc.operator_errors import ACTING, not_found
from orchestrator.rpc.operator_messages import attention_groups, identity_message

_BREAKERS: Final[Mapping[BreakerState, op.BreakerState.ValueType]] = {
    BreakerState.CLOSED: op.BREAKER_STATE_CLOSED,
    BreakerState.OPEN: op.BREAKER_STATE_OPEN,
    BreakerState.HALF_OPEN: op.BREAKER_STATE_HALF_OPEN,
}


class OperatorService(OperatorActing):
    """The whole service."""

    async def ListParticipants(  # noqa: N802  (the contract's name, as below)
        self, request: pb.ListParticipantsRequest, context: Context
    ) -> pb.ListParticipantsResponse:
        with engine_errors(READING):
            participants = await self._participants(visibility_of(context))
        return pb.ListParticipantsResponse(participants=participants, node_id=str(self._operators.engine.node_id or ""))

    async def HoldParticipant(self, request: pb.HoldParticipantRequest, context: Context) -> pb.HoldParticipantResponse:  # noqa: N802
        record = self._record(AuditAction.HOLD_PARTICIPANT, request, request.service, context)
        with engine_errors(ACTING):
            if not await self._is_repeated(record):
                await self._operators.store.hold(request.service, record)
            self._operators.orders.wake()
            return pb.HoldParticipantResponse(participant=await self._participant(request.service, context))

    async def ReleaseParticipant(  # noqa: N802
        self, request: pb.ReleaseParticipantRequest, context: Context
    ) -> pb.ReleaseParticipantResponse:
        record = self._record(AuditAction.RELEASE_PARTICIPANT, request, request.service, context)
        with engine_errors(ACTING):
            if not await self._is_repeated(record):
                await self._operators.store.release_hold(request.service, record)
            self._operators.orders.wake()
            return pb.ReleaseParticipantResponse(participant=await self._participant(request.service, context))

    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:  # noqa: N802
        with engine_errors(READING):
            return pb.ListNodesResponse(nodes=await self._nodes(visibility_of(context)))

    async def DrainNode(self, request: pb.DrainNodeRequest, context: Context) -> pb.DrainNodeResponse:  # noqa: N802
        refuse_nul("request_id", request.request_id)
        refuse_nul("reason", request.reason)
        record = AuditRecord(
            AuditAction.DRAIN_NODE,
            caller_of(context),
            request.request_id,
            request.reason,
            target=request.node_id,
            tenant=tenant_of(context),
        )
        visibility = visibility_of(context)
        with engine_errors(ACTING):
            found = {node.node_id: node for node in await self._nodes(visibility)}
            repeated = await self._is_repeated(record)
            if not repeated and not await self._operators.store.drain_node(UUID(request.node_id), record):
                raise not_found(Reason.NODE_NOT_FOUND, f"no node {request.node_id} has a lease", "see ListNodes")
            self._operators.orders.wake()
            now = {node.node_id: node for node in await self._nodes(visibility)}
        # One that has drained already has no lease any more.
        gone = op.Node(node_id=request.node_id)
        return pb.DrainNodeResponse(node=now.get(request.node_id) or found.get(request.node_id) or gone)

    async def ListDefinitions(self, request: pb.ListDefinitionsRequest, context: Context) -> pb.ListDefinitionsResponse:  # noqa: N802
        with engine_errors(READING):
            rows = await self._operators.store.definitions(visibility_of(context))
        sees_all = visibility_of(context).is_total
        return pb.ListDefinitionsResponse(definitions=[_definition_message(row, sees_all=sees_all) for row in rows])

    async def GetIdentity(self, request: pb.GetIdentityRequest, context: Context) -> pb.GetIdentityResponse:  # noqa: N802
        return identity_message(CURRENT.get())

    def _record(
        self,
        action: AuditAction,
        request: pb.HoldParticipantRequest | pb.ReleaseParticipantRequest,
        service: str,
        context: Context,
    ) -> AuditRecord:
        refuse_nul("request_id", request.request_id)
        refuse_nul("reason", request.reason)
        if service not in self._operators.catalogue.services:
            what = f"no definition that this node has loaded calls {service}"
            raise not_found(Reason.PARTICIPANT_NOT_FOUND, what, "see ListParticipants")
        return AuditRecord(
            action,
            caller_of(context),
            request.request_id,
            request.reason,
            target=service,
            tenant=tenant_of(context),
        )

    async def _participant(self, service: str, context: Context) -> op.ParticipantStatus:
        return next(each for each in await self._participants(visibility_of(context)) if each.service == service)

    async def _participants(self, visibility: Visibility) -> list[op.ParticipantStatus]:
        store, catalogue = self._operators.store, self._operators.catalogue
        holds = {hold.service: hold for hold in await store.holds()}
        tally = await store.tally(Selection(live=True, visibility=visibility), self._operators.policy)
        attention: dict[str, int] = {}
        for group in attention_groups(tally.groups, catalogue):
            attention[group.participant] = attention.get(group.participant, 0) + group.sagas
        now_us = await store.now_us()
        statuses = {status.service: status for status in self._operators.engine.participants()}
        return [
            _participant_message(
                service,
                statuses.get(service),
                holds.get(service),
                attention.get(service, 0),
                catalogue.labels(service),
                now_us=now_us,
                has_address=service in self._operators.addresses,
            )
            for service in catalogue.services
        ]

    async def _nodes(self, visibility: Visibility) -> list[op.Node]:
        store = self._operators.store
        labels = {row.definition_id: f"{row.name} v{row.version}" for row in await store.definitions(visibility)}
        own = self._operators.engine.node_id
        return [_node_message(row, labels, is_own=row.node_id == own) for row in await store.nodes(visibility)]


def _participant_message(
    service: str,
    status: ParticipantStatus | None,
    hold: Hold | None,
    attention: int,
    labels: Sequence[str],
    *,
    now_us: int,
    has_address: bool,
) -> op.ParticipantStatus:
    message = op.ParticipantStatus(
        service=service,
        held=hold is not None,
        attention=attention,
        has_address=has_address,
        definitions=labels,
    )
    if hold is not None:
        message.hold_time.CopyFrom(timestamp(hold.held_us))
        message.held_by, message.hold_reason = hold.caller, hold.reason
    if status is not None:
        message.breaker = _BREAKERS[status.breaker]
        message.in_flight = status.in_flight
        message.recent_calls = status.recent_calls
        message.error_rate = status.failure_share
        if status.probe_in_s is not None:
            message.probe_time.CopyFrom(timestamp(now_us + int(status.probe_in_s * 1_000_000)))
    return message


def _node_message(row: NodeRow, labels: Mapping[int, str], *, is_own: bool) -> op.Node:
    return op.Node(
        node_id=str(row.node_id),
        name=row.name,
        start_time=timestamp(row.started_us),
        lease_expire_time=timestamp(row.lease_expires_us),
        alive=row.alive,
        sagas=row.sagas,
        definitions=sorted(labels[number] for number in row.definition_ids if number in labels),
        drain_time=None if row.drain_us is None else timestamp(row.drain_us),
        answering=is_own,
    )


def _definition_message(row: DefinitionRow, *, sees_all: bool) -> op.DefinitionStatus:
    """``sees_all``: no live saga is hidden, so that what is counted is what there is."""
    live = row.running + row.compensating + row.stuck
    if not live and not sees_all:
        verdict = "not known to be safe to remove: sagas that you may not see may follow it; ask who sees all"
    elif not live:
        verdict = "safe to remove: no live saga follows it"
    elif row.stuck == live:
        verdict = f"not safe to remove: {live} stuck sagas follow it; repair or resolve them first"
    else:
        verdict = f"not safe to remove: {live} live sagas follow it, and would be blocked without it"
    return op.DefinitionStatus(
        name=row.name,
        version=row.version,
        digest=row.digest.hex(),
        register_time=timestamp(row.registered_us),
        running=row.running,
        compensating=row.compensating,
        stuck=row.stuck,
        nodes=row.nodes,
        safe_to_remove=sees_all and not live,
        verdict=verdict,
    )
