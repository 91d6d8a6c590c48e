"""What operators did: every request answered once, on the version that its operator saw, and carried out as granted."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from saga.v1 import event_pb2 as pb
from saga.v1 import saga_pb2

from tests.simulation.history import Asked, Entry, History, SagaRow

TERMINAL: Final = {
    saga_pb2.SAGA_STATE_COMPLETED,
    saga_pb2.SAGA_STATE_COMPENSATED,
    saga_pb2.SAGA_STATE_RESOLVED,
}
FOLLOWED_BY: Final[Mapping[str, int]] = {
    "retry": pb.EVENT_TYPE_STEP_RETRIED,
    "retry_compensation": pb.EVENT_TYPE_STEP_RETRIED,
    "skip_step": pb.EVENT_TYPE_SKIP_BEGUN,
    "force_compensation": pb.EVENT_TYPE_COMPENSATION_STARTED,
    "resolve": pb.EVENT_TYPE_RESOLUTION_BEGUN,
    "pause": pb.EVENT_TYPE_SAGA_PAUSED,
    "resume": pb.EVENT_TYPE_SAGA_UNPAUSED,
}
"""What the journal says right after a granted action."""
CALLS_AGAIN: Final = {"retry", "retry_compensation", "skip_step", "resolve"}
"""What needs an epoch that is newer than what the operator saw, or a stored verdict would answer."""
ONLY_BY_HAND: Final[Mapping[int, int]] = {
    pb.EVENT_TYPE_STEP_RETRIED: pb.EVENT_TYPE_STEP_RETRIED,
    pb.EVENT_TYPE_SKIP_BEGUN: 0,
    pb.EVENT_TYPE_RESOLUTION_BEGUN: 0,
    pb.EVENT_TYPE_SAGA_PAUSED: 0,
    pb.EVENT_TYPE_SAGA_UNPAUSED: 0,
}
"""What only a granted action explains, and what else may stand before it: a retry may name several steps."""


def skipped_by(saga: SagaRow) -> set[str]:
    """Steps that an operator skipped at some time, in what is stored or in what a failover lost."""
    entries = (entry for entry in (*saga.journal, *saga.lost) if entry.kind == pb.EVENT_TYPE_SKIP_BEGUN)
    return {pb.SkipBegun.FromString(entry.attributes).step for entry in entries}


def last_granted_s(saga: SagaRow) -> float:
    """When an operator last moved the saga: from then on it may take its time again."""
    return max((entry.landed_s for entry, _ in granted(saga)), default=0.0)


def granted(saga: SagaRow) -> Iterator[tuple[Entry, pb.RequestConsumed]]:
    """The saga's entries that grant an operator's action."""
    for entry, answer in answers(saga):
        if answer.kind in FOLLOWED_BY and not answer.HasField("refusal"):
            yield entry, answer


def answers(saga: SagaRow) -> Iterator[tuple[Entry, pb.RequestConsumed]]:
    """The saga's answers to requests."""
    for entry in saga.journal:
        if entry.kind == pb.EVENT_TYPE_REQUEST_CONSUMED:
            yield entry, pb.RequestConsumed.FromString(entry.attributes)


def requests(history: History) -> Iterator[str]:
    """I5 and I9 of requests, and I8: each is answered, unless its saga ended first."""
    asked: defaultdict[str, dict[int, Asked]] = defaultdict(dict)
    for each in history.asked:
        asked[each.saga_id][each.number] = each
    for saga in history.sagas.values():
        texts = [*_answered(history, saga, asked[saga.saga_id]), *_carried_out(saga)]
        yield from (f"{text} ({saga.request_id}, {saga.definition})" for text in texts)
    yield from _told(history)


def _answered(history: History, saga: SagaRow, asked: dict[int, Asked]) -> Iterator[str]:
    seen: set[int] = set()
    for entry, answer in answers(saga):
        request = asked.get(answer.request_number)
        if request is None or answer.request_number in seen:
            yield f"I9: entry {entry.seq} answers request {answer.request_number}, which is answered or never was"
            continue
        seen.add(answer.request_number)
        if (request.consumed_seq, request.kind) != (entry.seq, answer.kind):
            what = f"request {request.number} is a {request.kind} answered at {request.consumed_seq}"
            yield f"I9: {what}, and entry {entry.seq} says that it answers a {answer.kind}"
        if request.expected_seq is None:
            continue
        if (request.caller, request.reason) != (answer.caller, answer.reason):
            yield f"I9: entry {entry.seq} does not say who asked for {request.kind}, and why"
        if not answer.HasField("refusal"):
            yield from _version(saga, entry, request, request.expected_seq)
    for request in asked.values():
        if request.number in seen:
            continue
        if request.consumed_seq is not None:
            yield f"I9: request {request.number} is said to be answered at {request.consumed_seq}"
        elif history.healed_s is not None and saga.state not in TERMINAL:
            yield f"I8: nobody answered request {request.number}, a {request.kind}"


def _version(saga: SagaRow, entry: Entry, request: Asked, expected_seq: int) -> Iterator[str]:
    """I5: what was granted was asked of the saga as it was, and is done under an epoch that nothing was done under."""
    before = saga.journal[: entry.seq - 1]
    moved = (each.seq for each in reversed(before) if not _changes_nothing(each))
    if next(moved, 0) > expected_seq:
        yield f"I5: {request.kind} was granted at {entry.seq}, on version {expected_seq}, which is stale"
    claims = (each.seq for each in before if each.kind == pb.EVENT_TYPE_SAGA_CLAIMED)
    if request.kind in CALLS_AGAIN and not any(seq > expected_seq for seq in claims):
        yield f"I5: {request.kind} was granted at {entry.seq} under epoch {entry.epoch}, which its operator saw"


def _changes_nothing(entry: Entry) -> bool:
    if entry.kind == pb.EVENT_TYPE_REQUEST_CONSUMED:
        return pb.RequestConsumed.FromString(entry.attributes).HasField("refusal")
    return entry.kind == pb.EVENT_TYPE_SAGA_CLAIMED


def _carried_out(saga: SagaRow) -> Iterator[str]:
    """I9: what was granted was done, and nothing of the kind was done without."""
    due, before = 0, 0
    for entry in saga.journal:
        if due not in {0, entry.kind}:
            yield f"I9: entry {entry.seq} does not do what was granted before it"
        if entry.kind in ONLY_BY_HAND and due != entry.kind and before != (ONLY_BY_HAND[entry.kind] or None):
            yield f"I9: entry {entry.seq} does what no operator was granted"
        due, before = 0, entry.kind
        if entry.kind == pb.EVENT_TYPE_REQUEST_CONSUMED:
            answer = pb.RequestConsumed.FromString(entry.attributes)
            due = 0 if answer.HasField("refusal") else FOLLOWED_BY.get(answer.kind, 0)


def _told(history: History) -> Iterator[str]:
    """I7: what an operator was told is so. What was told of before a failover may be lost."""
    failed_over_s = 0.0 if history.failover is None else history.failover.at_s
    said = {
        (saga.saga_id, answer.request_number): not answer.HasField("refusal")
        for saga in history.sagas.values()
        for _, answer in answers(saga)
    }
    for told in history.told:
        if told.at_s > failed_over_s and said.get((told.saga_id, told.number), False) is not told.is_granted:
            what = "granted" if told.is_granted else "refused"
            yield f"I7: {told.kind}, request {told.number} of {told.saga_id}, was {what} as its operator was told"
