"""The judge: reads what participants, database, network and callers recorded, and says which invariant did not hold.

It shares no code with what it judges: neither the core's fold nor its graph, only the stored messages' format.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from saga.v1 import event_pb2 as pb
from saga.v1 import saga_pb2

from tests.simulation.by_hand import TERMINAL, last_granted_s, requests, skipped_by
from tests.simulation.history import Acknowledged, Delivery, History, SagaRow, Shape
from tests.simulation.sends import sends
from tests.simulation.witness import COMPENSATED, COMPLETED, RESOLVED, conservation, effects, end, followers_of, said_of

STUCK: Final = saga_pb2.SAGA_STATE_STUCK
LEADS_TO: Final[Mapping[int, int]] = {
    pb.EVENT_TYPE_SAGA_STARTED: saga_pb2.SAGA_STATE_RUNNING,
    pb.EVENT_TYPE_COMPENSATION_STARTED: saga_pb2.SAGA_STATE_COMPENSATING,
    pb.EVENT_TYPE_SAGA_COMPLETED: COMPLETED,
    pb.EVENT_TYPE_SAGA_COMPENSATED: COMPENSATED,
    pb.EVENT_TYPE_SAGA_STUCK: STUCK,
    pb.EVENT_TYPE_SAGA_RESOLVED: RESOLVED,
}
SETS_GOING: Final = {pb.EVENT_TYPE_STEP_RETRIED, pb.EVENT_TYPE_SKIP_BEGUN, pb.EVENT_TYPE_RESOLUTION_BEGUN}
"""What lets a stuck saga go on where it was going."""
ONLY_A_DEFECT: Final = {"SUPERSEDED", "STALE_EPOCH", "KEY_REUSED", "ENGINE_DEFECT"}
"""Reasons for being stuck that no fault of the world explains."""
INCARNATION_BITS: Final = 32


def check(history: History) -> list[str]:
    """Every violation, each beginning with its invariant's name. Empty if all is well."""
    deliveries: defaultdict[str, list[Delivery]] = defaultdict(list)
    for delivery in history.deliveries:
        deliveries[delivery.saga_id].append(delivery)
    followers = {name: followers_of(shape) for name, shape in history.shapes.items()}
    found = [f"I8: defect: {defect}" for defect in history.defects]
    for saga in history.lost.values():
        known, shape = followers[saga.definition], history.shapes[saga.definition]
        texts = [*effects(known, shape, skipped_by(saga), deliveries[saga.saga_id])]
        found += [f"{text} ({saga.request_id}, lost)" for text in texts]
    says = {saga_id: said_of(saga) for saga_id, saga in history.sagas.items()}
    for saga in history.sagas.values():
        shape = history.shapes[saga.definition]
        known = followers[saga.definition]
        texts = [
            *effects(known, shape, skipped_by(saga), deliveries[saga.saga_id]),
            *end(shape, saga, says[saga.saga_id], deliveries[saga.saga_id]),
            *_journal(shape, known, saga),
            *_fences(history, saga),
            *_liveness(history, shape, saga),
        ]
        found += [f"{text} ({saga.request_id}, {saga.definition})" for text in texts]
    return [
        *found,
        *sends(history),
        *requests(history),
        *_acknowledgements(history),
        *_keys(history),
        *conservation(history, says),
    ]


def _journal(shape: Shape, followers: Mapping[str, set[str]], saga: SagaRow) -> Iterator[str]:
    """I6 and I9: one history, which explains the row."""
    if [entry.seq for entry in saga.journal] != list(range(1, saga.last_seq + 1)):
        yield "I9: the journal has a gap, or does not end at last_seq"
        return
    state, failed_step = 0, ""
    going, turned_by = 0, ""
    for entry in saga.journal:
        if state in TERMINAL:
            yield f"I6: entry {entry.seq} was written after the end"
        going = going if state == STUCK else state
        state = LEADS_TO.get(entry.kind, state)
        if entry.kind == pb.EVENT_TYPE_COMPENSATION_STARTED:
            failed_step = turned_by = pb.CompensationStarted.FromString(entry.attributes).failed_step
        elif entry.kind in SETS_GOING and state == STUCK:
            state = going
            failed_step = failed_step if entry.kind == pb.EVENT_TYPE_RESOLUTION_BEGUN else turned_by
        elif entry.kind == pb.EVENT_TYPE_SAGA_STUCK:
            stuck = pb.SagaStuck.FromString(entry.attributes)
            failed_step = stuck.step or failed_step
            explained = _answered_anew(shape, followers, saga, stuck) or _buried_by_hand(saga, stuck)
            if stuck.failure.reason in ONLY_A_DEFECT and not explained:
                yield f"I8: stuck at {stuck.step} because of {stuck.failure.reason}, which only a defect explains"
            elif (stuck.failure.reason == "BUILDER_FAILED") is not _raises(shape, saga, stuck):
                yield f"I8: stuck at {stuck.step} because of {stuck.failure.reason}, which its builder does not explain"
    if (state, failed_step) != (saga.state, saga.failed_step or ""):
        yield f"I9: the journal says state {state} and {failed_step!r}; the row {saga.state} and {saga.failed_step!r}"
    yield from _ownership(saga)
    if any(given in TERMINAL for _, given in saga.states[:-1]):
        yield "I6: the row was given another state after its end"


def _answered_anew(shape: Shape, followers: Mapping[str, set[str]], saga: SagaRow, stuck: pb.SagaStuck) -> bool:
    """After a lossy failover a question is asked again, or a step that had succeeded is skipped, and what follows from
    another answer is another request.
    """
    others = skipped_by(saga) | {step for step, kind in shape.kinds.items() if kind == "READ_ONLY"}
    asked = (step for step in others if stuck.step in followers[step])
    return stuck.failure.reason == "KEY_REUSED" and saga.epoch >> INCARNATION_BITS > 0 and any(asked)


def _buried_by_hand(saga: SagaRow, stuck: pb.SagaStuck) -> bool:
    """After a lossy failover steps are called again, one of them for nothing: an operator had begun to skip it, or to
    resolve the saga, and its participant had settled it.
    """
    if stuck.failure.reason != "SUPERSEDED" or saga.epoch >> INCARNATION_BITS == 0:
        return False
    entries = (*saga.journal, *saga.lost)
    skipped = {
        pb.SkipBegun.FromString(entry.attributes).step for entry in entries if entry.kind == pb.EVENT_TYPE_SKIP_BEGUN
    }
    resolved = any(entry.kind == pb.EVENT_TYPE_RESOLUTION_BEGUN for entry in entries)
    return stuck.step in skipped or resolved


def _raises(shape: Shape, saga: SagaRow, stuck: pb.SagaStuck) -> bool:
    """Whether the builder of what got stuck raises for the saga's input."""
    end = shape.raises.get(f"{stuck.step}/{saga_pb2.Phase.Name(stuck.phase).removeprefix('PHASE_')}")
    return end is not None and saga.input.endswith(end)


def _ownership(saga: SagaRow) -> Iterator[str]:
    """I5: owners in turn, each under a higher epoch than the one before."""
    epoch, owner = 0, ""
    for entry in saga.journal:
        if entry.kind == pb.EVENT_TYPE_SAGA_CLAIMED or entry.seq == 1:
            if entry.epoch <= epoch:
                yield f"I5: claim {entry.seq} did not raise epoch {epoch}"
            epoch, owner = entry.epoch, entry.node
        elif (entry.epoch, entry.node) != (epoch, owner):
            yield f"I5: entry {entry.seq} was written under epoch {entry.epoch} while the saga was under {epoch}"
    if epoch != saga.epoch:
        yield f"I9: the journal says epoch {epoch}; the row {saga.epoch}"
    if saga.is_owned and saga.state in {*TERMINAL, STUCK} and saga.journal[-1].kind != pb.EVENT_TYPE_SAGA_CLAIMED:
        yield "I6: an ended saga has an owner"


def _fences(history: History, saga: SagaRow) -> Iterator[str]:
    """I5: a node that was declared dead writes nothing any more."""
    for entry in saga.journal:
        if entry.landed_s > history.fenced.get(entry.node, entry.landed_s):
            yield f"I5: entry {entry.seq} was written by a node after its fence"


def _liveness(history: History, shape: Shape, saga: SagaRow) -> Iterator[str]:
    """I8: once all is healed, an end within what the definition allows."""
    if history.healed_s is None:
        return
    bound_s = max(history.healed_s, last_granted_s(saga)) + shape.patience_s
    if saga.state not in {*TERMINAL, STUCK}:
        yield f"I8: state {saga.state}, {history.ended_s - history.healed_s:.0f} s after everything healed"
    elif saga.states and saga.states[-1][0] > bound_s:
        yield f"I8: ended {saga.states[-1][0] - bound_s:.1f} s after its bound of {shape.patience_s:.0f} s"


def _acknowledgements(history: History) -> Iterator[str]:
    """I7: what a caller was told is so, for good."""
    told: dict[str, str] = {}
    for saga_id in history.unknown:
        if saga_id not in history.lost:
            yield f"I7: a caller was told that there is no saga {saga_id}"
    for ack in history.acknowledged:
        saga = history.sagas.get(ack.saga_id)
        if saga is None:
            yield from _explained(history, ack)
        elif ack.conflict == "concurrency_key":
            continue
        elif told.setdefault(ack.request_id, ack.saga_id) != ack.saga_id or saga.request_id != ack.request_id:
            yield f"I7: {ack.request_id} was given two sagas"
        elif (ack.conflict == "request_id") is (saga.input == ack.input):
            yield f"I7: {ack.request_id} was told {ack.conflict or 'started'} for what is stored differently"


def _explained(history: History, ack: Acknowledged) -> Iterator[str]:
    """An acknowledged saga may be missing only if a failover lost it, and its start was too late to be kept."""
    lost = history.lost.get(ack.saga_id)
    if lost is None or history.failover is None:
        yield f"I7: {ack.request_id} was acknowledged as {ack.saga_id}, which is lost"
    elif lost.journal[0].landed_s <= history.failover.kept_until_s:
        yield f"I7: {ack.request_id} was acknowledged as {ack.saga_id}, which is lost, and the standby had it"


def _keys(history: History) -> Iterator[str]:
    """One live saga for a concurrency key."""
    lives: defaultdict[tuple[str, str], list[tuple[float, float, str]]] = defaultdict(list)
    for saga in history.sagas.values():
        if saga.concurrency_key is not None and saga.states:
            ended = saga.states[-1][0] if saga.states[-1][1] in TERMINAL else float("inf")
            name = saga.definition.partition(" ")[0]
            lives[name, saga.concurrency_key].append((saga.states[0][0], ended, saga.request_id))
    for key, held in lives.items():
        held.sort()
        for (_, ended_s, first), (began_s, _, second) in pairwise(held):
            if began_s < ended_s:
                yield f"I7: {first} and {second} live at once under key {key[1]}"
