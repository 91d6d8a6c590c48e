"""What nodes sent, next to what was durable when they did: I4 and the write-ahead rule."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from saga.v1 import event_pb2 as pb

from tests.simulation.history import Entry, History, SagaRow, Shape

ENDS_A_PAUSE: Final = {pb.EVENT_TYPE_SAGA_UNPAUSED, pb.EVENT_TYPE_SAGA_STUCK}


Ever = Sequence[tuple[SagaRow, Entry, float]]
"""Entries of sagas, and until when each was durable."""


def _ever(history: History) -> Iterator[tuple[SagaRow, Entry, float]]:
    """Every entry that was ever durable, and until when it was."""
    failed_over_s = float("inf") if history.failover is None else history.failover.at_s
    for saga in history.sagas.values():
        for entry in saga.journal:
            yield saga, entry, float("inf")
        for entry in saga.lost:
            yield saga, entry, failed_over_s
    for saga in history.lost.values():
        for entry in saga.journal:
            yield saga, entry, failed_over_s


def sends(history: History) -> Iterator[str]:
    """I4: what a node may begin."""
    turned: defaultdict[str, list[tuple[float, float, int]]] = defaultdict(list)
    undoing: defaultdict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    ever = list(_ever(history))
    for saga, entry, until_s in ever:
        if entry.kind == pb.EVENT_TYPE_COMPENSATION_STARTED:
            turned[saga.saga_id].append((entry.landed_s, until_s, entry.epoch))
        elif entry.kind == pb.EVENT_TYPE_STEP_COMPENSATED:
            undoing[saga.saga_id, entry.epoch].append((entry.landed_s, until_s))
    for sent in history.sent:
        turns = turned.get(sent.saga_id, ())
        if sent.phase == "compensation" and sent.overlaps:
            yield f"I4: {sent.node} undid {sent.step} of {sent.saga_id} while its own action was under way"
        if sent.phase == "compensation" and not any(at_s <= sent.at_s for at_s, _, _ in turns):
            yield f"I4: {sent.node} undid {sent.step} of {sent.saga_id} before turning around was durable"
        if sent.phase != "action" or not (turns or undoing):
            continue
        if any(at_s < sent.at_s < until_s for at_s, until_s in undoing.get((sent.saga_id, sent.epoch), ())) or any(
            at_s < sent.at_s < until_s and epoch < sent.epoch for at_s, until_s, epoch in turns
        ):
            yield f"I4: {sent.node} began {sent.step} of {sent.saga_id} after turning around was durable"
    yield from _held(history, ever)
    yield from _write_ahead(history, ever)


class _Hold(NamedTuple):
    """A saga that an operator paused, or has settled: from when until when, and under which epoch."""

    from_s: float
    until_s: float
    epoch: int
    is_pause: bool
    without_barrier: frozenset[str]


def _held(history: History, ever: Ever) -> Iterator[str]:
    """I4: a paused saga begins no call, and one that is being resolved is settled, and neither done nor undone.

    A call that waits for its turn at a participant without a barrier is made: nobody could prove that it was not.
    """
    holds: defaultdict[str, list[_Hold]] = defaultdict(list)
    for saga, entry, until_s in ever:
        if entry.kind not in {pb.EVENT_TYPE_SAGA_PAUSED, pb.EVENT_TYPE_RESOLUTION_BEGUN}:
            continue
        is_pause = entry.kind == pb.EVENT_TYPE_SAGA_PAUSED
        later = (each for each in (*saga.journal, *saga.lost) if each.seq > entry.seq and each.kind in ENDS_A_PAUSE)
        over = [each.landed_s for each in later if each.landed_s >= entry.landed_s] if is_pause else []
        bare = history.shapes[saga.definition].without_barrier
        holds[saga.saga_id].append(_Hold(entry.landed_s, min([until_s, *over]), entry.epoch, is_pause, bare))
    for sent in history.sent if holds else ():
        for hold in holds.get(sent.saga_id, ()):
            if not hold.from_s < sent.at_s < hold.until_s or sent.epoch < hold.epoch:
                continue
            if hold.is_pause and sent.step not in hold.without_barrier:
                yield f"I4: {sent.node} called {sent.step}/{sent.phase} of {sent.saga_id}, which is paused"
            elif not hold.is_pause and sent.phase != "settle":
                yield f"I4: {sent.node} called {sent.step}/{sent.phase} of {sent.saga_id}, which is being resolved"


def _write_ahead(history: History, ever: Ever) -> Iterator[str]:
    """I4, the write-ahead rule: a step is called once the success of everything before it is durable."""
    durable: dict[tuple[str, str], float] = {}
    for saga, entry, _ in ever:
        if entry.kind == pb.EVENT_TYPE_STEP_SKIPPED:
            step = pb.StepSkipped.FromString(entry.attributes).step
        elif entry.kind == pb.EVENT_TYPE_STEP_SUCCEEDED:
            step = pb.StepSucceeded.FromString(entry.attributes).step
        elif entry.kind == pb.EVENT_TYPE_STEP_INTENDED:
            step = "intent of " + pb.StepIntended.FromString(entry.attributes).step
        else:
            continue
        key = saga.saga_id, step
        durable[key] = min(durable.get(key, entry.landed_s), entry.landed_s)
    needs = {(name, step): _needs(shape, step) for name, shape in history.shapes.items() for step in shape.after}
    lost = history.lost
    for sent in history.sent:
        if sent.phase != "action":
            continue
        saga_row = history.sagas.get(sent.saga_id) or lost.get(sent.saga_id)
        if saga_row is None:
            yield f"I7: {sent.node} called {sent.step} of {sent.saga_id}, which was never stored"
            continue
        for need in needs[saga_row.definition, sent.step]:
            if durable.get((sent.saga_id, need), sent.at_s + 1) > sent.at_s:
                yield f"I4: {sent.node} called {sent.step} of {sent.saga_id} before {need} was durable"


def _needs(shape: Shape, step: str) -> list[str]:
    """What must be durable before the step is called."""
    needs = list(shape.after[step])
    if shape.kinds[step] == "PIVOT" or step in shape.without_barrier:
        needs.append(f"intent of {step}")
    return needs
