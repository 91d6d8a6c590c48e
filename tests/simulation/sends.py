"""What nodes sent, next to what was durable when they did: I4 and the write-ahead rule."""

from collections import defaultdict
from collections.abc import Iterator

from saga.v1 import event_pb2 as pb

from tests.simulation.history import Entry, History, SagaRow


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
    undoing: dict[tuple[str, int], float] = {}
    for saga, entry, until_s in _ever(history):
        if entry.kind == pb.EVENT_TYPE_COMPENSATION_STARTED:
            turned[saga.saga_id].append((entry.landed_s, until_s, entry.epoch))
        elif entry.kind == pb.EVENT_TYPE_STEP_COMPENSATED:
            undoing.setdefault((saga.saga_id, entry.epoch), entry.landed_s)
    for sent in history.sent:
        turns = turned.get(sent.saga_id, ())
        if sent.phase == "compensation" and sent.overlaps:
            yield f"I4: {sent.node} undid {sent.step} of {sent.saga_id} while its own action was under way"
        if sent.phase == "compensation" and not any(at_s <= sent.at_s for at_s, _, _ in turns):
            yield f"I4: {sent.node} undid {sent.step} of {sent.saga_id} before turning around was durable"
        if sent.phase != "action":
            continue
        if undoing.get((sent.saga_id, sent.epoch), sent.at_s) < sent.at_s or any(
            at_s < sent.at_s <= until_s and epoch < sent.epoch for at_s, until_s, epoch in turns
        ):
            yield f"I4: {sent.node} began {sent.step} of {sent.saga_id} after turning around was durable"
    yield from _write_ahead(history)


def _write_ahead(history: History) -> Iterator[str]:
    """I4, the write-ahead rule: a step is called once the success of everything before it is durable."""
    durable: dict[tuple[str, str], float] = {}
    for saga, entry, _ in _ever(history):
        if entry.kind == pb.EVENT_TYPE_STEP_SUCCEEDED:
            step = pb.StepSucceeded.FromString(entry.attributes).step
        elif entry.kind == pb.EVENT_TYPE_STEP_INTENDED:
            step = "intent of " + pb.StepIntended.FromString(entry.attributes).step
        else:
            continue
        key = saga.saga_id, step
        durable[key] = min(durable.get(key, entry.landed_s), entry.landed_s)
    for sent in history.sent:
        saga_row = history.sagas.get(sent.saga_id) or history.lost.get(sent.saga_id)
        if sent.phase != "action":
            continue
        if saga_row is None:
            yield f"I7: {sent.node} called {sent.step} of {sent.saga_id}, which was never stored"
            continue
        shape = history.shapes[saga_row.definition]
        needs = list(shape.after[sent.step])
        if shape.kinds[sent.step] == "PIVOT" or sent.step in shape.without_barrier:
            needs.append(f"intent of {sent.step}")
        for need in needs:
            if durable.get((sent.saga_id, need), sent.at_s + 1) > sent.at_s:
                yield f"I4: {sent.node} called {sent.step} of {sent.saga_id} before {need} was durable"
