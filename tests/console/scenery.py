"""Sagas, causes of attention and numbers to be looked at in the console."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import event_pb2, saga_pb2
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb

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


def special_sagas(now_s: float) -> list[saga_pb2.Saga]:
    """One of each kind, the one to look at first last."""
    stuck = saga(STUCK_ID, "STUCK", "SSSSXS", now_s)
    stuck.failed_step = "confirm_reservation"
    stuck.failure.CopyFrom(saga_pb2.Failure(code=9, reason="RESERVATION_EXPIRED", message="the hold ended at 02:51"))
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
    return [done, hostile, back, running, stuck]


def groups(now_s: float, sample: str) -> list[op.AttentionGroup]:
    """Why sagas need attention."""

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
        group("STUCK", "charge", PAYMENT, "CARD_DECLINED", 10, 3600, sample),
        group("OVERDUE", "authorize", PAYMENT, "UNAVAILABLE", 6, 840, RUNNING_ID),
        group("STUCK", "authorize", PAYMENT, HOSTILE[:120], 1, 5000, HOSTILE_ID),
    ]


def overview(request: pb.GetOverviewRequest, now_s: float, sample: str) -> pb.GetOverviewResponse:
    """Hours with a disturbance in the middle."""
    count = request.buckets or 60
    size_s = request.window.seconds / count
    answer = pb.GetOverviewResponse(read_time=stamp(now_s), bucket=length(size_s), nodes=2, paused=4)
    for state, sagas in (("PENDING", 3), ("RUNNING", 412), ("COMPENSATING", 58), ("STUCK", 1215)):
        answer.live.add(state=saga_pb2.SagaState.Value(f"SAGA_STATE_{state}"), sagas=sagas)
    answer.attention.extend(groups(now_s, sample))
    for number in range(count):
        bad = 35 <= number < 48
        bucket = answer.buckets.add(start_time=stamp(now_s - (count - number) * size_s), started=180 + number * 13 % 60)
        bucket.completed, bucket.compensated = (
            (40 if bad else 170) + number * 7 % 30,
            (60 if bad else 8) + number % 5,
        )
        bucket.resolved = 12 if number == 52 else 0
        if number != 40:
            bucket.duration_p50.CopyFrom(length(0.18 + (1.4 if bad else 0)))
            bucket.duration_p99.CopyFrom(length(1.1 + number % 7 / 10 + (38 if bad else 0)))
    return answer


def add_attempts(details: op.SagaDetails, found: saga_pb2.Saga) -> None:
    """What the steps say of themselves, as attempts and as a journal."""
    start_s = found.create_time.seconds + found.create_time.nanos / 1e9
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
                event.step_succeeded.CopyFrom(event_pb2.StepSucceeded(step=step.name, attempt=number, duration_ms=80))
        for number in range(1, step.compensation_attempts + 1):
            at_s += 30.2
            seq += 1
            attempt = details.attempts.add(step=step.name, phase=saga_pb2.PHASE_COMPENSATION, attempt=number, seq=seq)
            attempt.outcome = "compensated"
            attempt.end_time.CopyFrom(stamp(at_s))
            attempt.duration.CopyFrom(length(0.2))
