"""Participants that are played: each keeps a model of the barrier and answers as the test says."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from saga.v1 import participant_service_pb2 as settle_pb

from contracts import metadata
from orchestrator.engine.ports import Answer, Call

OK = Answer(0)
UNAVAILABLE = Answer(14, message="gone")
REJECTED = Answer(9, message="no", reason="OUT_OF_STOCK", domain="inventory", proven=True)


@dataclass(frozen=True, slots=True)
class Seen:
    """One call as it arrived."""

    node: str
    saga_id: str
    key: str
    """``step/phase``."""
    epoch: int
    attempt: int
    request: bytes


@dataclass
class Row:
    """What the barrier keeps for a step of a saga."""

    epoch: int
    state: str
    answer: Answer = OK


@dataclass
class World:
    """What every node of a test calls."""

    answers: dict[str, Answer | Callable[[Seen], Answer]] = field(default_factory=dict)
    """By ``step/phase``: what the business code says; OK if nothing is said."""
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    """By ``step/phase``: a call waits until it is set."""
    before: Callable[[Seen], Awaitable[None]] | None = None
    calls: list[Seen] = field(default_factory=list)
    cancelled: list[Seen] = field(default_factory=list)
    effects: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often (saga, ``step/phase``) took effect."""
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    running: int = 0

    def keys(self, saga_id: object = None) -> list[str]:
        """``step/phase`` of every call in order."""
        return [seen.key for seen in self.calls if saga_id is None or seen.saga_id == str(saga_id)]

    def count(self, key: str) -> int:
        """Calls of a step's phase."""
        return sum(seen.key == key for seen in self.calls)


class Played:
    """The ``Participants`` port of one node."""

    def __init__(self, world: World, node: str) -> None:
        self._world = world
        self._node = node

    async def call(self, call: Call) -> Answer:
        """See ``Participants.call``."""
        assert call.deadline_s > 0
        world = self._world
        seen = _seen(self._node, call)
        world.calls.append(seen)
        world.running += 1
        try:
            if world.before is not None:
                await world.before(seen)
            gate = world.gates.get(seen.key)
            if gate is not None:
                await gate.wait()
            return _through_barrier(world, seen)
        except asyncio.CancelledError:
            world.cancelled.append(seen)
            raise
        finally:
            world.running -= 1


def _seen(node: str, call: Call) -> Seen:
    given = dict(call.metadata)
    _, step, phase = given[metadata.IDEMPOTENCY_KEY].split("/")
    assert step == given[metadata.SAGA_STEP]
    saga_id, epoch, attempt = given[metadata.SAGA_ID], int(given[metadata.EPOCH]), int(given[metadata.ATTEMPT])
    return Seen(node, saga_id, f"{step}/{phase}", epoch, attempt, call.request)


def _through_barrier(world: World, seen: Seen) -> Answer:
    """What the barrier of the participant contract (``docs/participants.md``) answers, in short."""
    step, phase = seen.key.split("/")
    row = world.rows.get((seen.saga_id, step))
    if row is not None and seen.epoch < row.epoch:
        return Answer(10, reason="STALE_EPOCH", domain=metadata.ERROR_DOMAIN)
    if row is None:
        row = world.rows[seen.saga_id, step] = Row(seen.epoch, "ABSENT")
    row.epoch = seen.epoch
    if phase == metadata.PHASE_SETTLE:
        return _settle(row)
    if phase == metadata.PHASE_ACTION and row.state == "DONE":
        return row.answer
    if phase == metadata.PHASE_ACTION and row.state in {"TOMBSTONE", "UNDONE"}:
        return Answer(9, reason="SUPERSEDED", domain=metadata.ERROR_DOMAIN)
    if phase == metadata.PHASE_COMPENSATION and row.state != "DONE":
        row.state = "UNDONE" if row.state == "UNDONE" else "TOMBSTONE"
        return OK
    said = world.answers.get(seen.key, OK)
    answer = said(seen) if callable(said) else said
    if answer.code == 0:
        world.effects[seen.saga_id, seen.key] += 1
        row.state, row.answer = ("DONE" if phase == metadata.PHASE_ACTION else "UNDONE"), answer
    return answer


def _settle(row: Row) -> Answer:
    if row.state == "ABSENT":
        row.state = "TOMBSTONE"
    states = {
        "DONE": settle_pb.SETTLE_STATE_DONE,
        "TOMBSTONE": settle_pb.SETTLE_STATE_TOMBSTONE,
        "UNDONE": settle_pb.SETTLE_STATE_UNDONE,
    }
    response = settle_pb.SettleResponse(state=states[row.state], response=row.answer.response)
    return Answer(0, response.SerializeToString())
