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
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import event_pb2, saga_pb2
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb

from contracts.errors import Reason, RpcError
from orchestrator.console.server import ConsoleServer
from orchestrator.console.settings import ConsoleSettings
from tests.fixtures.operator_service import OperatorStandIn, serve_operator

HOSTILE = (
    '<script>window.pwned=1</script><img src=x onerror="window.pwned=1">{{7*7}} \x1b[31mred\x1b[0m \u202egpj.exe\u202c '
    "\"'><svg onload=window.pwned=1> javascript:alert(1) z"
    + "\u0321\u0322\u0327" * 8
    + "a\x00\x07 "
    + "W" * 300
    + "é" * 5000
)
PAYMENT, INVENTORY, SHIPPING = (f"{name}.v1.{name.title()}Service" for name in ("payment", "inventory", "shipping"))
STUCK_ID, RUNNING_ID, BACK_ID, DONE_ID, HOSTILE_ID = (f"0192f3a0-7b1c-7{n}00-8a2b-0123456789a{n}" for n in range(1, 6))

GRAPH = (
    ("reserve", "COMPENSATABLE", INVENTORY, "Reserve", "Release", ()),
    ("authorize", "COMPENSATABLE", PAYMENT, "Authorize", "VoidAuthorization", ()),
    ("create_shipment", "COMPENSATABLE", SHIPPING, "CreateShipment", "CancelShipment", ("reserve", "authorize")),
    ("capture", "PIVOT", PAYMENT, "Capture", "", ("create_shipment", "authorize")),
    ("confirm_reservation", "RETRIABLE", INVENTORY, "ConfirmReservation", "", ("capture", "reserve")),
    ("notify_carrier", "RETRIABLE", SHIPPING, "NotifyCarrier", "", ("capture", "create_shipment")),
)


def stamp(at_s: float) -> Timestamp:
    return Timestamp(seconds=int(at_s), nanos=round(at_s % 1 * 1e9))


def length(length_s: float) -> Duration:
    return Duration(seconds=int(length_s), nanos=round(length_s % 1 * 1e9))


def saga(saga_id: str, state: str, steps: str, now_s: float, age_s: float = 840) -> saga_pb2.Saga:
    """``steps`` has one letter a step: P R S J U C D K X for the states in the order of the contract."""
    names = dict(zip("PRSJUCDKX", list(saga_pb2.StepState.values())[1:], strict=True))
    made = saga_pb2.Saga(
        saga_id=saga_id,
        definition="place-order",
        version=2,
        state=saga_pb2.SagaState.Value(f"SAGA_STATE_{state}"),
        digest="9f2c4e" * 10,
        caller="checkout",
        request_id=f"ORD-{saga_id[-4:]}",
        concurrency_key=f"ORD-{saga_id[-4:]}",
        owner_node_id="0192f3a0-0000-7000-a000-000000000001",
        epoch=2,
        last_seq=9,
        create_time=stamp(now_s - age_s),
        update_time=stamp(now_s - 20),
        deadline_time=stamp(now_s - age_s + 600),
    )
    for (name, kind, service, method, undo, after), letter in zip(GRAPH, steps, strict=True):
        step = made.steps.add(name=name, kind=saga_pb2.StepKind.Value(f"STEP_KIND_{kind}"), state=names[letter])
        step.method, step.after[:] = f"{service}/{method}", after
        step.compensation_method = f"{service}/{undo}" if undo else ""
        step.attempts = 0 if letter == "P" else 1
        if letter == "D":
            step.compensation_attempts = 1
    return made


class FullStandIn(OperatorStandIn):
    """Five sagas that differ, beside the plain ones; everything that the contract has."""

    def __init__(self, sagas: int = 30, now: Callable[[], float] = time.time) -> None:
        super().__init__(sagas)
        self.now = now
        now_s = now()
        for each in self.sagas.values():  # the plain ones are of an hour ago
            age_s = 3600 - int(each.saga_id[-6:])
            each.create_time.CopyFrom(stamp(now_s - age_s))
            each.update_time.CopyFrom(stamp(now_s - age_s + 5))
            each.deadline_time.CopyFrom(stamp(now_s - age_s + 600))
        stuck = saga(STUCK_ID, "STUCK", "SSSSXS", now_s)
        stuck.failed_step = "confirm_reservation"
        stuck.failure.CopyFrom(
            saga_pb2.Failure(code=9, reason="RESERVATION_EXPIRED", message="the hold ended at 02:51")
        )
        stuck.steps[4].failure.CopyFrom(stuck.failure)
        stuck.steps[4].attempts = 4
        running = saga(RUNNING_ID, "RUNNING", "SRPPPP", now_s, 95)
        running.waiting_step, running.waiting_reason = "authorize", "UNAVAILABLE"
        running.steps[1].attempts = 3
        running.steps[1].next_attempt_time.CopyFrom(stamp(now_s + 12))
        running.steps[1].failure.CopyFrom(saga_pb2.Failure(code=14, reason="UNAVAILABLE", message="connection refused"))
        back = saga(BACK_ID, "COMPENSATING", "DCRUPP".replace("R", "J").replace("U", "P"), now_s, 300)
        back.failed_step, back.block_time.seconds, back.blocked_reason = "create_shipment", int(now_s - 200), "HELD"
        back.steps[1].blocked_reason = "HELD"
        done = saga(DONE_ID, "COMPLETED", "SSSSSS", now_s, 4000)
        done.end_time.CopyFrom(stamp(now_s - 3998.7))
        hostile = saga(HOSTILE_ID, "STUCK", "SXPPPP", now_s, 5000)
        hostile.definition, hostile.caller, hostile.request_id = HOSTILE[:64], HOSTILE[:256], HOSTILE[:128]
        hostile.failed_step = "authorize"
        hostile.failure.CopyFrom(saga_pb2.Failure(code=3, reason=HOSTILE[:120], message=HOSTILE))
        hostile.steps[1].failure.CopyFrom(hostile.failure)
        for made in (done, hostile, back, running, stuck):
            self.sagas[made.saga_id] = made
        self.seen_requests: dict[str, int] = {}
        self.drained: dict[str, float] = {}
        self.calls: list[Any] = []
        self.hold_reason = ""

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
            answer.attention.extend(self._groups())
        return answer

    def _groups(self) -> list[op.AttentionGroup]:
        now_s = self.now()

        def group(  # noqa: PLR0917  (a table below)
            kind: str, step: str, participant: str, reason: str, sagas: int, age_s: float, sample: str
        ) -> op.AttentionGroup:
            return op.AttentionGroup(
                kind=op.AttentionKind.Value(f"ATTENTION_KIND_{kind}"),
                definition="place-order",
                version=2,
                step=step,
                participant=participant,
                reason=reason,
                sagas=sagas,
                oldest_create_time=stamp(now_s - age_s),
                sample_saga_id=sample,
            )

        return [
            group("STUCK", "confirm_reservation", INVENTORY, "RESERVATION_EXPIRED", 1_204, 5400, STUCK_ID),
            group("BLOCKED", "authorize", PAYMENT, "HELD", 317, 1900, BACK_ID),
            group("STUCK", "charge", PAYMENT, "CARD_DECLINED", 10, 3600, next(iter(self.sagas))),
            group("OVERDUE", "authorize", PAYMENT, "UNAVAILABLE", 6, 840, RUNNING_ID),
            group("STUCK", "authorize", PAYMENT, HOSTILE[:120], 1, 5000, HOSTILE_ID),
        ]

    async def GetOverview(self, request: pb.GetOverviewRequest, context: Any) -> pb.GetOverviewResponse:
        now_s, count = self.now(), request.buckets or 60
        size_s = request.window.seconds / count
        overview = pb.GetOverviewResponse(read_time=stamp(now_s), bucket=length(size_s), nodes=2, paused=4)
        for state, sagas in (("PENDING", 3), ("RUNNING", 412), ("COMPENSATING", 58), ("STUCK", 1215)):
            overview.live.add(state=saga_pb2.SagaState.Value(f"SAGA_STATE_{state}"), sagas=sagas)
        overview.attention.extend(self._groups())
        for number in range(count):
            bad = 35 <= number < 48
            bucket = overview.buckets.add(
                start_time=stamp(now_s - (count - number) * size_s), started=180 + number * 13 % 60
            )
            bucket.completed, bucket.compensated = (
                (40 if bad else 170) + number * 7 % 30,
                (60 if bad else 8) + number % 5,
            )
            bucket.resolved = 12 if number == 52 else 0
            if number != 40:
                bucket.duration_p50.CopyFrom(length(0.18 + (1.4 if bad else 0)))
                bucket.duration_p99.CopyFrom(length(1.1 + number % 7 / 10 + (38 if bad else 0)))
        return overview

    async def GetSagaDetails(self, request: pb.GetSagaDetailsRequest, context: Any) -> pb.GetSagaDetailsResponse:
        found = self._find(request.saga_id)
        details = op.SagaDetails(saga=found)
        if found.state == saga_pb2.SAGA_STATE_STUCK:
            details.attention = op.ATTENTION_KIND_STUCK
        start_s = found.create_time.seconds
        self._attempts(details, found, start_s)
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

    def _attempts(self, details: op.SagaDetails, found: saga_pb2.Saga, start_s: float) -> None:
        at_s, seq = start_s + 0.02, 1
        event = details.events.add(saga_id=found.saga_id, seq=1, type=event_pb2.EVENT_TYPE_SAGA_STARTED, epoch=1)
        event.event_time.CopyFrom(stamp(start_s))
        event.saga_started.deadline_time.CopyFrom(found.deadline_time)
        for step in found.steps:
            for number in range(1, step.attempts + 1):
                took_s = 0.08 * number
                at_s += took_s + (0.01 if number == 1 else 20.0 * number)
                failed = number < step.attempts or step.state in (
                    saga_pb2.STEP_STATE_STUCK,
                    saga_pb2.STEP_STATE_RUNNING,
                )
                seq += 1
                attempt = details.attempts.add(step=step.name, phase=saga_pb2.PHASE_ACTION, attempt=number, seq=seq)
                attempt.outcome = ("failed" if number < step.attempts else "stuck") if failed else "succeeded"
                attempt.end_time.CopyFrom(stamp(at_s))
                attempt.duration.CopyFrom(length(took_s))
                event = details.events.add(saga_id=found.saga_id, seq=seq, epoch=1, event_time=stamp(at_s))
                if failed:
                    attempt.failure.CopyFrom(step.failure)
                    event.type = event_pb2.EVENT_TYPE_ATTEMPT_FAILED
                    event.attempt_failed.CopyFrom(
                        event_pb2.AttemptFailed(step=step.name, attempt=number, failure=step.failure)
                    )
                else:
                    event.type = event_pb2.EVENT_TYPE_STEP_SUCCEEDED
                    event.step_succeeded.CopyFrom(
                        event_pb2.StepSucceeded(step=step.name, attempt=number, duration_ms=80)
                    )
            for number in range(1, step.compensation_attempts + 1):
                at_s += 30.2
                seq += 1
                attempt = details.attempts.add(
                    step=step.name, phase=saga_pb2.PHASE_COMPENSATION, attempt=number, seq=seq
                )
                attempt.outcome = "compensated"
                attempt.end_time.CopyFrom(stamp(at_s))
                attempt.duration.CopyFrom(length(0.2))

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

    async def ListParticipants(self, request: pb.ListParticipantsRequest, context: Any) -> pb.ListParticipantsResponse:
        now_s = self.now()
        rows = [
            op.ParticipantStatus(
                service=INVENTORY,
                breaker=op.BREAKER_STATE_CLOSED,
                in_flight=14,
                recent_calls=2210,
                error_rate=0.002,
                attention=1204,
                has_address=True,
                definitions=["place-order v1", "place-order v2"],
            ),
            op.ParticipantStatus(
                service=PAYMENT,
                breaker=op.BREAKER_STATE_OPEN,
                probe_time=stamp(now_s + 8),
                recent_calls=120,
                error_rate=0.97,
                attention=323,
                has_address=True,
                definitions=["place-order v2"],
            ),
            op.ParticipantStatus(service=SHIPPING, definitions=["place-order v2"]),
        ]
        for row in rows:
            if row.service in self.held:
                row.held, row.held_by, row.hold_reason = True, "local", self.hold_reason
                row.hold_time.CopyFrom(stamp(now_s - 3))
        return pb.ListParticipantsResponse(participants=rows)

    async def HoldParticipant(self, request: pb.HoldParticipantRequest, context: Any) -> pb.HoldParticipantResponse:
        self.held.add(request.service)
        self.hold_reason = request.reason
        return pb.HoldParticipantResponse()

    async def ReleaseParticipant(
        self, request: pb.ReleaseParticipantRequest, context: Any
    ) -> pb.ReleaseParticipantResponse:
        self.held.discard(request.service)
        return pb.ReleaseParticipantResponse()

    async def ListNodes(self, request: pb.ListNodesRequest, context: Any) -> pb.ListNodesResponse:
        now_s = self.now()
        nodes = [
            op.Node(
                node_id=f"0192f3a0-0000-7000-a000-00000000000{n}",
                name=f"node-{n}",
                alive=n < 3,
                sagas=240 * (3 - n),
                answering=n == 1,
                start_time=stamp(now_s - 90_000),
                lease_expire_time=stamp(now_s + (4 if n < 3 else -40)),
                definitions=["place-order v1", "place-order v2"],
            )
            for n in (1, 2, 3)
        ]
        for node in nodes:
            if node.node_id in self.drained:
                node.drain_time.CopyFrom(stamp(self.drained[node.node_id]))
        return pb.ListNodesResponse(nodes=nodes)

    async def DrainNode(self, request: pb.DrainNodeRequest, context: Any) -> pb.DrainNodeResponse:
        self.drained[request.node_id] = self.now()
        return pb.DrainNodeResponse()

    async def ListDefinitions(self, request: pb.ListDefinitionsRequest, context: Any) -> pb.ListDefinitionsResponse:
        registered = stamp(self.now() - 500_000)
        return pb.ListDefinitionsResponse(
            definitions=[
                op.DefinitionStatus(
                    name="place-order",
                    version=1,
                    digest="ab" * 32,
                    register_time=registered,
                    nodes=2,
                    safe_to_remove=True,
                    verdict="no live saga follows it",
                ),
                op.DefinitionStatus(
                    name="place-order",
                    version=2,
                    digest="9f2c" * 16,
                    register_time=registered,
                    running=412,
                    compensating=58,
                    stuck=1215,
                    nodes=2,
                    verdict="1,685 live sagas follow it",
                ),
            ]
        )


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
