"""The judge: reads what participants, database, network and callers recorded, and says which invariant did not hold.

It shares no code with what it judges: neither the core's fold nor its graph, only the stored messages' format.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from saga.v1 import event_pb2 as pb
from saga.v1 import saga_pb2

from tests.simulation.history import Acknowledged, Delivery, Entry, History, SagaRow, Shape

COMPLETED: Final = saga_pb2.SAGA_STATE_COMPLETED
COMPENSATED: Final = saga_pb2.SAGA_STATE_COMPENSATED
STUCK: Final = saga_pb2.SAGA_STATE_STUCK
TERMINAL: Final = {COMPLETED, COMPENSATED, saga_pb2.SAGA_STATE_RESOLVED}
LEADS_TO: Final[Mapping[int, int]] = {
    pb.EVENT_TYPE_SAGA_STARTED: saga_pb2.SAGA_STATE_RUNNING,
    pb.EVENT_TYPE_COMPENSATION_STARTED: saga_pb2.SAGA_STATE_COMPENSATING,
    pb.EVENT_TYPE_SAGA_COMPLETED: COMPLETED,
    pb.EVENT_TYPE_SAGA_COMPENSATED: COMPENSATED,
    pb.EVENT_TYPE_SAGA_STUCK: STUCK,
}
ONLY_A_DEFECT: Final = {"SUPERSEDED", "STALE_EPOCH", "KEY_REUSED", "ENGINE_DEFECT"}
"""Reasons for being stuck that no fault of the world explains."""
REFUSALS: Final = {"STALE_EPOCH", "SUPERSEDED", "KEY_REUSED"}
NEVER: Final = b"\0ends no input"
INCARNATION_BITS: Final = 32
UNDO_ACCEPTED: Final = {"undone", "buried", "replayed"}


def check(history: History) -> list[str]:
    """Every violation, each beginning with its invariant's name. Empty if all is well."""
    deliveries: defaultdict[str, list[Delivery]] = defaultdict(list)
    for delivery in history.deliveries:
        deliveries[delivery.saga_id].append(delivery)
    followers = {name: _followers(shape) for name, shape in history.shapes.items()}
    found = [f"I8: defect: {defect}" for defect in history.defects]
    for saga in _lost(history).values():
        known, shape = followers[saga.definition], history.shapes[saga.definition]
        texts = [*_effects(known, shape, deliveries[saga.saga_id])]
        found += [f"{text} ({saga.request_id}, lost)" for text in texts]
    for saga in history.sagas.values():
        shape = history.shapes[saga.definition]
        known = followers[saga.definition]
        texts = [
            *_effects(known, shape, deliveries[saga.saga_id]),
            *_end(shape, saga, deliveries[saga.saga_id]),
            *_journal(shape, known, saga),
            *_fences(history, saga),
            *_liveness(history, shape, saga),
        ]
        found += [f"{text} ({saga.request_id}, {saga.definition})" for text in texts]
    return [*found, *_sends(history), *_acknowledgements(history), *_keys(history), *_conservation(history)]


def _lost(history: History) -> Mapping[str, SagaRow]:
    """Sagas that a failover lost."""
    return {} if history.failover is None else history.failover.lost


def _followers(shape: Shape) -> Mapping[str, set[str]]:
    """By step: all that follow from it, however far."""
    reached: dict[str, set[str]] = {step: set() for step in shape.after}
    changed = True
    while changed:
        changed = False
        for step, befores in shape.after.items():
            for before in befores:
                more = {step} | reached[step]
                if not more <= reached[before]:
                    reached[before] |= more
                    changed = True
    return reached


class _Witness:
    """I2, I3, I4 and I5 at the participants: one saga, call by call."""

    def __init__(self, followers: Mapping[str, set[str]]) -> None:
        self.followers = followers
        self.done: dict[str, int] = defaultdict(int)
        self.undone: dict[str, int] = defaultdict(int)
        self.gone: set[str] = set()
        """Steps whose participant said that they are undone or never were: from then on they must not be."""
        self.payloads: dict[str, bytes] = {}
        self.epochs: dict[str, int] = defaultdict(int)

    def see(self, call: Delivery) -> Iterator[str]:
        step = call.step
        if call.result in REFUSALS:
            return
        if call.result != "refused":
            if call.epoch < self.epochs[step]:
                yield f"I5: {step}/{call.phase} was accepted under epoch {call.epoch} after {self.epochs[step]}"
            self.epochs[step] = max(self.epochs[step], call.epoch)
        if call.phase == "action":
            if self.payloads.setdefault(step, call.payload) != call.payload:
                yield f"I2: {step} was accepted with two payloads under one key"
            if call.result == "done":
                yield from self._acted(step)
        elif call.phase == "compensation" and call.result in UNDO_ACCEPTED:
            yield from self._undid(step, took_effect=call.result == "undone")
        elif call.phase == "settle" and call.result == "buried":
            self.gone.add(step)

    def _acted(self, step: str) -> Iterator[str]:
        self.done[step] += 1
        if self.done[step] > 1:
            yield f"I2: {step} took effect {self.done[step]} times"
        for before in sorted(self.gone):
            if step == before:
                yield f"I4: {step} took effect after its undo"
            elif step in self.followers[before]:
                yield f"I4: {step} took effect after the undo of {before}, from which it follows"

    def _undid(self, step: str, *, took_effect: bool) -> Iterator[str]:
        self.undone[step] += took_effect
        if self.undone[step] > self.done[step]:
            yield f"I2: {step} was done {self.done[step]} and undone {self.undone[step]} times"
        if step not in self.gone:
            for after in sorted(self.followers[step]):
                if self.done[after] > self.undone[after]:
                    yield f"I3: {step} was undone while {after}, which follows from it, is in effect"
        self.gone.add(step)


def _effects(followers: Mapping[str, set[str]], shape: Shape, deliveries: list[Delivery]) -> Iterator[str]:
    """Of participants with a barrier: what the others did is judged by how the saga ended."""
    witness = _Witness(followers)
    for call in deliveries:
        if call.step not in shape.without_barrier and call.result != "read":
            yield from witness.see(call)


def _end(shape: Shape, saga: SagaRow, deliveries: list[Delivery]) -> Iterator[str]:
    """I1 and I3: an end tells the truth about every step."""
    if saga.state not in {COMPLETED, COMPENSATED}:
        return
    for step, kind in shape.kinds.items():
        if saga.state == COMPLETED and saga.input.endswith(shape.raises.get(f"{step}/ACTION", NEVER)):
            yield f"I1: COMPLETED, and {step} has a builder that raises"
        if kind == "READ_ONLY":
            continue
        results = [call.result for call in deliveries if call.step == step and call.result not in REFUSALS]
        in_effect = results.count("done") - results.count("undone")
        if saga.state == COMPLETED and in_effect != 1:
            yield f"I1: COMPLETED, and {step} is in effect {in_effect} times"
        if saga.state == COMPENSATED and in_effect:
            yield f"I3: COMPENSATED, and {step} is in effect"


def _journal(shape: Shape, followers: Mapping[str, set[str]], saga: SagaRow) -> Iterator[str]:
    """I6 and I9: one history, which explains the row."""
    if [entry.seq for entry in saga.journal] != list(range(1, saga.last_seq + 1)):
        yield "I9: the journal has a gap, or does not end at last_seq"
        return
    state, failed_step = 0, ""
    for entry in saga.journal:
        if state in TERMINAL:
            yield f"I6: entry {entry.seq} was written after the end"
        state = LEADS_TO.get(entry.kind, state)
        if entry.kind == pb.EVENT_TYPE_COMPENSATION_STARTED:
            failed_step = pb.CompensationStarted.FromString(entry.attributes).failed_step
        elif entry.kind == pb.EVENT_TYPE_SAGA_STUCK:
            stuck = pb.SagaStuck.FromString(entry.attributes)
            failed_step = stuck.step or failed_step
            if stuck.failure.reason in ONLY_A_DEFECT and not _answered_anew(shape, followers, saga, stuck):
                yield f"I8: stuck at {stuck.step} because of {stuck.failure.reason}, which only a defect explains"
            elif (stuck.failure.reason == "BUILDER_FAILED") is not _raises(shape, saga, stuck):
                yield f"I8: stuck at {stuck.step} because of {stuck.failure.reason}, which its builder does not explain"
    if (state, failed_step) != (saga.state, saga.failed_step or ""):
        yield f"I9: the journal says state {state} and {failed_step!r}; the row {saga.state} and {saga.failed_step!r}"
    yield from _ownership(saga)
    if any(given in TERMINAL for _, given in saga.states[:-1]):
        yield "I6: the row was given another state after its end"


def _answered_anew(shape: Shape, followers: Mapping[str, set[str]], saga: SagaRow, stuck: pb.SagaStuck) -> bool:
    """After a lossy failover a question is asked again, and what follows from another answer is another request."""
    asked = (step for step, kind in shape.kinds.items() if kind == "READ_ONLY" and stuck.step in followers[step])
    return stuck.failure.reason == "KEY_REUSED" and saga.epoch >> INCARNATION_BITS > 0 and any(asked)


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
    bound_s = history.healed_s + shape.patience_s
    if saga.state not in {*TERMINAL, STUCK}:
        yield f"I8: state {saga.state}, {history.ended_s - history.healed_s:.0f} s after everything healed"
    elif saga.states and saga.states[-1][0] > bound_s:
        yield f"I8: ended {saga.states[-1][0] - bound_s:.1f} s after its bound of {shape.patience_s:.0f} s"


def _ever(history: History) -> Iterator[tuple[SagaRow, Entry, float]]:
    """Every entry that was ever durable, and until when it was."""
    failed_over_s = float("inf") if history.failover is None else history.failover.at_s
    for saga in history.sagas.values():
        for entry in saga.journal:
            yield saga, entry, float("inf")
        for entry in saga.lost:
            yield saga, entry, failed_over_s
    for saga in _lost(history).values():
        for entry in saga.journal:
            yield saga, entry, failed_over_s


def _sends(history: History) -> Iterator[str]:
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
        saga_row = history.sagas.get(sent.saga_id) or _lost(history).get(sent.saga_id)
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


def _acknowledgements(history: History) -> Iterator[str]:
    """I7: what a caller was told is so, for good."""
    told: dict[str, str] = {}
    for saga_id in history.unknown:
        if saga_id not in _lost(history):
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
    lost = _lost(history).get(ack.saga_id)
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


def _conservation(history: History) -> Iterator[str]:
    """I1: over all participants, what is in effect is what the sagas' ends say."""
    balance: defaultdict[str, int] = defaultdict(int)
    for call in history.deliveries:
        balance[call.saga_id] += {"done": 1, "undone": -1}.get(call.result, 0)
    for state in (COMPLETED, COMPENSATED):
        sagas = [saga for saga in history.sagas.values() if saga.state == state]
        held = sum(balance[saga.saga_id] for saga in sagas)
        kinds = (history.shapes[saga.definition].kinds.values() for saga in sagas)
        due = sum(kind != "READ_ONLY" for steps in kinds for kind in steps) if state == COMPLETED else 0
        if held != due:
            yield f"I1: {held} effects stand behind {len(sagas)} sagas in state {state}, instead of {due}"
