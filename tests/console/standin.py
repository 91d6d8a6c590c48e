# ruff: noqa: N802  (methods have the names of the contract)
"""The stand-in of operators' service with all of its methods and sagas worth looking at.

``python -m tests.console.standin`` serves the console before it, to be looked at by hand.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import grpc
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_pb2

from contracts.errors import Reason, RpcError
from orchestrator.console.server import ConsoleServer
from orchestrator.console.settings import ConsoleSettings
from tests.console.cluster import ClusterStandIn
from tests.console.scenery import (
    HOSTILE,
    INVENTORY,
    SHIPPING,
    add_attempts,
    groups,
    overview,
    special_sagas,
    stamp,
)
from tests.fixtures.operator_service import serve_operator


class FullStandIn(ClusterStandIn):
    """Five sagas that differ, beside the plain ones; everything that the contract has."""

    def __init__(self, sagas: int = 30, now: Callable[[], float] = time.time) -> None:
        super().__init__(sagas, now)
        now_s = now()
        for each in self.sagas.values():  # the plain ones are of an hour ago
            age_s = 3600 - int(each.saga_id[-6:])
            each.create_time.CopyFrom(stamp(now_s - age_s))
            each.update_time.CopyFrom(stamp(now_s - age_s + 5))
            each.deadline_time.CopyFrom(stamp(now_s - age_s + 600))
        for made in special_sagas(now_s):
            self.sagas[made.saga_id] = made
        self.seen_requests: dict[str, int] = {}
        self.calls: list[Any] = []

    def _matching(self, query: op.SagaQuery) -> list[op.SagaSummary]:
        found = super()._matching(query)
        return [
            each
            for each in found
            if (not query.definition or each.saga.definition == query.definition)
            and (not query.request_id or each.saga.request_id == query.request_id)
            and (not query.reason or each.reason == query.reason)
        ]

    async def CountSagas(self, request: pb.CountSagasRequest, context: Any) -> pb.CountSagasResponse:
        answer = await super().CountSagas(request, context)
        if answer.sagas:
            answer.attention.extend(groups(self.now(), next(iter(self.sagas))))
        return answer

    async def GetOverview(self, request: pb.GetOverviewRequest, context: Any) -> pb.GetOverviewResponse:
        return overview(request, self.now(), next(iter(self.sagas)))

    async def GetSagaDetails(self, request: pb.GetSagaDetailsRequest, context: Any) -> pb.GetSagaDetailsResponse:
        found = self._find(request.saga_id)
        details = op.SagaDetails(saga=found)
        if found.state == saga_pb2.SAGA_STATE_STUCK:
            details.attention = op.ATTENTION_KIND_STUCK
        add_attempts(details, found)
        input_json = json.dumps(
            {"orderId": found.request_id, "paymentMethod": "[redacted]", "lines": [{"sku": "TEA", "quantity": 2}]},
            indent=2,
        )
        details.input.CopyFrom(op.Payload(type="orders.v1.PlaceOrderRequest", json=input_json))
        for step in found.steps[:2]:
            payloads = details.step_payloads.add(step=step.name)
            payloads.request.CopyFrom(
                op.Payload(type="x.v1.Request", json=json.dumps({"note": HOSTILE}, ensure_ascii=False))
            )
            payloads.response.CopyFrom(
                op.Payload(type="x.v1.Response", problem="the definition is not loaded by this node")
            )
        details.audit.extend(entry for entry in self.audit if entry.saga_id == request.saga_id)
        return pb.GetSagaDetailsResponse(details=details)

    async def ExplainSaga(self, request: pb.ExplainSagaRequest, context: Any) -> pb.ExplainSagaResponse:
        found = self._find(request.saga_id)
        explanation = op.Explanation(
            version=found.last_seq, summary=f"The saga is {saga_pb2.SagaState.Name(found.state)}."
        )
        actions = [op.OPERATOR_ACTION_PAUSE, op.OPERATOR_ACTION_FORCE_COMPENSATION]
        if found.state == saga_pb2.SAGA_STATE_STUCK:
            step = found.failed_step
            explanation.attention = op.ATTENTION_KIND_STUCK
            explanation.summary = f"It is stuck at step {step}, past its point of no return: only an operator moves it."
            explanation.causes.append(f"{step} was refused 4 times with FAILED_PRECONDITION {found.failure.reason}.")
            explanation.causes.append(found.failure.message)
            actions = [op.OPERATOR_ACTION_RETRY, op.OPERATOR_ACTION_SKIP_STEP, op.OPERATOR_ACTION_RESOLVE, *actions]
        elif found.state == saga_pb2.SAGA_STATE_RUNNING:
            explanation.causes.append("The last call of authorize ended with UNAVAILABLE: connection refused.")
            explanation.next.append("authorize is called again, attempt 4 of 8.")
            explanation.next_time.CopyFrom(stamp(self.now() + 12))
        for action in actions:
            takes_step = action in (op.OPERATOR_ACTION_RETRY, op.OPERATOR_ACTION_SKIP_STEP)
            explanation.options.add(
                action=action, step=found.failed_step if takes_step else "", plan=self._planned(found, action)
            )
        return pb.ExplainSagaResponse(saga=found, explanation=explanation)

    def _planned(self, found: saga_pb2.Saga, action: int) -> op.ActionPlan:
        is_stuck = found.state == saga_pb2.SAGA_STATE_STUCK
        plan = op.ActionPlan(
            allowed=is_stuck, summary="Step is called again under its key.", state_after=saga_pb2.SAGA_STATE_RUNNING
        )
        plan.expected_end = saga_pb2.SAGA_STATE_COMPLETED
        if action in (op.OPERATOR_ACTION_FORCE_COMPENSATION, op.OPERATOR_ACTION_PAUSE) or not is_stuck:
            plan.allowed = not is_stuck and action == op.OPERATOR_ACTION_PAUSE
            if not plan.allowed:
                plan.refusal.CopyFrom(saga_pb2.Failure(code=9, reason="PAST_PIVOT", message="capture has taken effect"))
            plan.summary = "Begins no more calls." if plan.allowed else ""
            return plan
        plan.calls.add(
            step=found.failed_step,
            phase=saga_pb2.PHASE_ACTION,
            method=f"{INVENTORY}/ConfirmReservation",
            participant=INVENTORY,
            attempt=5,
        )
        plan.calls.add(
            step="notify_carrier",
            phase=saga_pb2.PHASE_ACTION,
            method=f"{SHIPPING}/NotifyCarrier",
            attempt=1,
            follows=True,
        )
        if action == op.OPERATOR_ACTION_RESOLVE:
            plan.warnings.append("What was done by hand is not known to the participants.")
            plan.state_after = plan.expected_end = saga_pb2.SAGA_STATE_RESOLVED
        return plan

    def _act(self, request: Any, action: Any, after: Any) -> tuple[Any, op.ActionPlan]:
        self.calls.append(request)
        found = self._find(request.saga_id)
        if request.validate_only:
            return found, self._planned(found, action)
        if request.request_id in self.seen_requests:
            return found, self._planned(found, action)
        plan = self._planned(found, action)
        saga_after, _ = super()._act(request, action, after)
        self.seen_requests[request.request_id] = found.last_seq
        entry = self.audit[0]
        entry.request_id, entry.step, entry.expected_version = (
            request.request_id,
            getattr(request, "step", ""),
            request.expected_version,
        )
        entry.audit_time.CopyFrom(stamp(self.now()))
        return saga_after, plan

    async def SkipStep(self, request: pb.SkipStepRequest, context: Any) -> pb.SkipStepResponse:
        saga_after, plan = self._act(request, op.OPERATOR_ACTION_SKIP_STEP, saga_pb2.SAGA_STATE_RUNNING)
        return pb.SkipStepResponse(saga=saga_after, plan=plan)

    async def PauseSaga(self, request: pb.PauseSagaRequest, context: Any) -> pb.PauseSagaResponse:
        found = self._find(request.saga_id)
        saga_after, plan = self._act(request, op.OPERATOR_ACTION_PAUSE, found.state)
        if not request.validate_only:
            found.pause_time.CopyFrom(stamp(self.now()))
        return pb.PauseSagaResponse(saga=saga_after, plan=plan)

    async def ResumeSaga(self, request: pb.ResumeSagaRequest, context: Any) -> pb.ResumeSagaResponse:
        found = self._find(request.saga_id)
        saga_after, plan = self._act(request, op.OPERATOR_ACTION_RESUME, found.state)
        return pb.ResumeSagaResponse(saga=saga_after, plan=plan)

    async def RetryCompensation(
        self, request: pb.RetryCompensationRequest, context: Any
    ) -> pb.RetryCompensationResponse:
        saga_after, plan = self._act(request, op.OPERATOR_ACTION_RETRY_COMPENSATION, saga_pb2.SAGA_STATE_COMPENSATING)
        return pb.RetryCompensationResponse(saga=saga_after, plan=plan)

    async def StartBulk(self, request: pb.StartBulkRequest, context: Any) -> pb.StartBulkResponse:
        self.calls.append(request)
        if not request.validate_only and request.request_id in self.seen_requests:
            return pb.StartBulkResponse(bulk=list(self.bulks.values())[-1], already_started=True)
        answer = await super().StartBulk(request, context)
        for sample in answer.sample:
            sample.plan.CopyFrom(self._planned(sample.saga.saga, request.action.action))
        if not request.validate_only:
            self.seen_requests[request.request_id] = 1
            bulk = self.bulks[answer.bulk.bulk_id]
            bulk.rate_per_s, bulk.caller = request.rate_per_s, "local"
            bulk.create_time.CopyFrom(stamp(self.now()))
        return answer

    async def GetBulk(self, request: pb.GetBulkRequest, context: Any) -> pb.GetBulkResponse:
        """A quarter further each time that it is looked at."""
        bulk = self._bulk(request.bulk_id)
        if bulk.state == op.BULK_STATE_RUNNING:
            decided = min(bulk.granted + bulk.refused + max(bulk.members // 4, 1), bulk.members)
            bulk.refused = decided // 5
            bulk.granted = decided - bulk.refused
            if decided == bulk.members:
                bulk.state = op.BULK_STATE_DONE
                bulk.end_time.CopyFrom(stamp(self.now()))
        return pb.GetBulkResponse(bulk=bulk)

    def _bulk(self, bulk_id: str) -> op.Bulk:
        if bulk_id not in self.bulks:
            raise RpcError(grpc.StatusCode.NOT_FOUND, Reason.BULK_NOT_FOUND, "no such bulk")
        return self.bulks[bulk_id]

    async def ListBulks(self, request: pb.ListBulksRequest, context: Any) -> pb.ListBulksResponse:
        return pb.ListBulksResponse(bulks=list(reversed(self.bulks.values())))

    async def ListBulkMembers(self, request: pb.ListBulkMembersRequest, context: Any) -> pb.ListBulkMembersResponse:
        bulk = self._bulk(request.bulk_id)
        members = [
            op.BulkMember(saga_id=each.saga.saga_id, outcome=op.AUDIT_OUTCOME_PENDING)
            for each in self._matching(bulk.query)
        ]
        for number, member in enumerate(members[: bulk.granted + bulk.refused]):
            member.outcome = op.AUDIT_OUTCOME_GRANTED
            if number < bulk.refused:
                member.outcome = op.AUDIT_OUTCOME_REFUSED
                member.refusal.CopyFrom(saga_pb2.Failure(code=10, reason="VERSION_CHANGED", message="it has moved"))
        return pb.ListBulkMembersResponse(members=[each for each in members if request.outcome in (0, each.outcome)])

    async def CancelBulk(self, request: pb.CancelBulkRequest, context: Any) -> pb.CancelBulkResponse:
        bulk = self._bulk(request.bulk_id)
        bulk.state = op.BULK_STATE_CANCELLED
        return pb.CancelBulkResponse(bulk=bulk)


async def _serve(port: int) -> None:
    async with serve_operator(FullStandIn()) as address:
        server = ConsoleServer(f"127.0.0.1:{port}", ConsoleSettings())
        sys.stdout.write(f"{await server.start(address)}\n")
        sys.stdout.flush()
        try:
            await asyncio.Event().wait()
        finally:
            await server.stop()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
