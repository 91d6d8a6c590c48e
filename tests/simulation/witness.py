"""What participants saw: I1 to I5 of one saga, call by call, and what is in effect in the end."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from saga.v1 import event_pb2 as pb
from saga.v1 import saga_pb2

from tests.simulation.by_hand import skipped_by
from tests.simulation.history import Delivery, History, SagaRow, Shape

COMPLETED: Final = saga_pb2.SAGA_STATE_COMPLETED
COMPENSATED: Final = saga_pb2.SAGA_STATE_COMPENSATED
RESOLVED: Final = saga_pb2.SAGA_STATE_RESOLVED
REFUSALS: Final = {"STALE_EPOCH", "SUPERSEDED", "KEY_REUSED"}
UNDO_ACCEPTED: Final = {"undone", "buried", "replayed"}
COUNTS: Final = {"done": 1, "undone": -1}
NEVER: Final = b"\0ends no input"


def followers_of(shape: Shape) -> Mapping[str, set[str]]:
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

    def __init__(self, followers: Mapping[str, set[str]], skipped: set[str]) -> None:
        self.followers = followers
        self.skipped = skipped
        """What an operator skipped: others may take effect without it, and be undone although it is in effect."""
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
            elif step in self.followers[before] and before not in self.skipped:
                yield f"I4: {step} took effect after the undo of {before}, from which it follows"

    def _undid(self, step: str, *, took_effect: bool) -> Iterator[str]:
        self.undone[step] += took_effect
        if self.undone[step] > self.done[step]:
            yield f"I2: {step} was done {self.done[step]} and undone {self.undone[step]} times"
        if step not in self.gone:
            for after in sorted(self.followers[step]):
                if self.done[after] > self.undone[after] and after not in self.skipped:
                    yield f"I3: {step} was undone while {after}, which follows from it, is in effect"
        self.gone.add(step)


def effects(
    followers: Mapping[str, set[str]], shape: Shape, skipped: set[str], deliveries: list[Delivery]
) -> Iterator[str]:
    """Of participants with a barrier: what the others did is judged by how the saga ended."""
    witness = _Witness(followers, skipped)
    for call in deliveries:
        if call.step not in shape.without_barrier and call.result != "read":
            yield from witness.see(call)


Says = Mapping[str, tuple[int | None, bool]]
"""By step: how often the journal's last word on it says that it is in effect, and whether that is by hand."""


def end(shape: Shape, saga: SagaRow, says: Says, deliveries: list[Delivery]) -> Iterator[str]:
    """I1 and I3: an end tells the truth about every step."""
    if saga.state not in {COMPLETED, COMPENSATED, RESOLVED}:
        return
    results: defaultdict[str, list[str]] = defaultdict(list)
    for call in deliveries:
        results[call.step].append(call.result)
    for step, kind in shape.kinds.items():
        by_hand = says.get(step, (None, False))[1]
        if saga.state == COMPLETED and not by_hand and saga.input.endswith(shape.raises.get(f"{step}/ACTION", NEVER)):
            yield f"I1: COMPLETED, and {step} has a builder that raises"
        if kind == "READ_ONLY":
            continue
        in_effect = results[step].count("done") - results[step].count("undone")
        if by_hand or saga.state == RESOLVED:
            # Without a barrier nobody can say more than the operator.
            if step not in shape.without_barrier and in_effect != says.get(step, (0, False))[0]:
                yield f"I3: state {saga.state}, and {step}, settled by hand, is in effect {in_effect} times"
        elif saga.state == COMPLETED and in_effect != 1:
            yield f"I1: COMPLETED, and {step} is in effect {in_effect} times"
        if saga.state == COMPENSATED and in_effect:
            yield f"I3: COMPENSATED, and {step} is in effect"


def said_of(saga: SagaRow) -> Says:
    """What the saga's journal says of its steps."""
    says: dict[str, tuple[int | None, bool]] = {}
    backward = False
    for entry in saga.journal:
        match entry.kind:
            case pb.EVENT_TYPE_COMPENSATION_STARTED:
                backward = True
            case pb.EVENT_TYPE_STEP_SUCCEEDED:
                says[pb.StepSucceeded.FromString(entry.attributes).step] = 1, False
            case pb.EVENT_TYPE_STEP_REJECTED:
                says[pb.StepRejected.FromString(entry.attributes).step] = 0, False
            case pb.EVENT_TYPE_STEP_UNKNOWN:
                says[pb.StepUnknown.FromString(entry.attributes).step] = None, False
            case pb.EVENT_TYPE_STEP_COMPENSATED:
                says[pb.StepCompensated.FromString(entry.attributes).step] = 0, False
            case pb.EVENT_TYPE_STEP_SKIPPED:
                says[pb.StepSkipped.FromString(entry.attributes).step] = int(backward), True
            case pb.EVENT_TYPE_STEP_SETTLED:
                settled = pb.StepSettled.FromString(entry.attributes)
                says[settled.step] = int(settled.done), True
    return says


def conservation(history: History, says: Mapping[str, Says]) -> Iterator[str]:
    """I1: over all participants, what is in effect is what the sagas' ends say."""
    balance: defaultdict[str, int] = defaultdict(int)
    for call in history.deliveries:
        if call.result in COUNTS:
            balance[call.saga_id] += COUNTS[call.result]
    for state in (COMPLETED, COMPENSATED):
        sagas = [
            saga
            for saga in history.sagas.values()
            if saga.state == state and not skipped_by(saga) & history.shapes[saga.definition].without_barrier
        ]
        held = sum(balance[saga.saga_id] for saga in sagas)
        due = sum(_due(history.shapes[saga.definition], says[saga.saga_id]) for saga in sagas if state == COMPLETED)
        if held != due:
            yield f"I1: {held} effects stand behind {len(sagas)} sagas in state {state}, instead of {due}"


def _due(shape: Shape, says: Says) -> int:
    """How many effects a completed saga has: one for each step that does something and was not skipped."""
    left_out = {step for step, (times, by_hand) in says.items() if by_hand and not times}
    return sum(kind != "READ_ONLY" and step not in left_out for step, kind in shape.kinds.items())
