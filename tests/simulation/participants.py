"""Participants: the shipped barrier's decisions on rows in memory, and a record of everything that came of a call."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from saga.v1 import participant_service_pb2 as settle_pb

from contracts import metadata
from contracts.errors import Reason
from orchestrator.engine.ports import Answer, Call
from participants.kit import decisions
from participants.kit.decisions import Bury, Refuse, Replay, ReplayVerdict, Row
from participants.kit.table import BarrierState
from tests.simulation.history import Delivery

REFUSED_CODES: Final = {Reason.STALE_EPOCH: 10, Reason.SUPERSEDED: 9, Reason.KEY_REUSED: 9}
REJECTED: Final = Answer(9, message="no", reason="DECLINED", domain="simulation", proven=True)
BARE_REJECTED: Final = Answer(9, message="no", reason="DECLINED", domain="simulation")
UNDO_REFUSED: Final = Answer(9, message="too late to undo", reason="NOT_NOW", domain="simulation")


class CallKey(NamedTuple):
    """What a call's metadata say."""

    saga_id: str
    step: str
    phase: str
    epoch: int


def key_of(call: Call) -> CallKey:
    """Reads the metadata as a participant does."""
    given = dict(call.metadata)
    phase = given[metadata.IDEMPOTENCY_KEY].rpartition("/")[2]
    return CallKey(given[metadata.SAGA_ID], given[metadata.SAGA_STEP], phase, int(given[metadata.EPOCH]))


@dataclass(frozen=True, slots=True)
class StepMethods:
    """What a participant serves for a step."""

    path: str
    response: type[Message]
    undo_path: str | None
    has_barrier: bool
    only_reads: bool

    @property
    def paths(self) -> Iterable[str]:
        """Of the action and of its undo, if it has one."""
        return filter(None, (self.path, self.undo_path))


class Participants:
    """All of them. Each delivery is one transaction, at one instant."""

    def __init__(
        self,
        methods: Iterable[StepMethods],
        now_s: Callable[[], float],
        *,
        rejects: Callable[[str, str, int], bool],
        refuses_undo: Callable[[str, str, int], bool],
    ) -> None:
        """The business says no by saga, step and how often it was asked."""
        self.rows: dict[tuple[str, str], Row] = {}
        self.deliveries: list[Delivery] = []
        methods = list(methods)
        self._responses = {each.path: each.response for each in methods}
        self._reading = {each.path for each in methods if each.only_reads}
        self._bare = {path for each in methods if not (each.has_barrier or each.only_reads) for path in each.paths}
        self._set: set[tuple[str, str]] = set()
        """What is in effect at participants without a barrier."""
        self._now_s = now_s
        self._rejects = rejects
        self._refuses_undo = refuses_undo
        self._asked: dict[tuple[str, str], int] = {}

    def deliver(self, call: Call, key: CallKey) -> Answer:
        """A request arrives; returns what its caller is told."""
        saga_id, step, phase, epoch = key
        payload = sha256(call.path.encode() + b"\0" + call.request).digest()
        if call.path in self._reading:
            result, answer = self._read(saga_id, step, call.path)
        elif call.path in self._bare:
            result, answer = self._switch(saga_id, step, call.path, on=phase == metadata.PHASE_ACTION)
        elif phase == metadata.PHASE_ACTION:
            result, answer = self._act(saga_id, step, epoch, payload, call.path)
        elif phase == metadata.PHASE_COMPENSATION:
            result, answer = self._undo(saga_id, step, epoch)
        else:
            result, answer = self._settle(saga_id, step, epoch)
        self.deliveries.append(Delivery(self._now_s(), saga_id, step, phase, epoch, payload, result))
        return answer

    def _act(self, saga_id: str, step: str, epoch: int, payload: bytes, path: str) -> tuple[str, Answer]:
        key = saga_id, step
        row = self.rows.get(key)
        if row is not None:
            match decisions.judge_action(row, epoch, payload):
                case Refuse(reason):
                    return _refused(reason)
                case Replay(response):
                    self.rows[key] = _raised(row, epoch)
                    return "replayed", Answer(0, response)
                case ReplayVerdict():
                    return "replayed", REJECTED
        if self._rejects(saga_id, step, self._count(key)):
            self.rows[key] = Row(BarrierState.REJECTED, epoch, payload, None, b"no")
            return "rejected", REJECTED
        response = self._response(path, f"{step}-{saga_id}")
        self.rows[key] = Row(BarrierState.DONE, epoch, payload, response, None)
        return "done", Answer(0, response)

    def _undo(self, saga_id: str, step: str, epoch: int) -> tuple[str, Answer]:
        key = saga_id, step
        row = self.rows.get(key)
        if row is None:
            self.rows[key] = Row(BarrierState.TOMBSTONE, epoch, None, None, None)
            return "buried", Answer(0)
        match decisions.judge_compensation(row, epoch):
            case Refuse(reason):
                return _refused(reason)
            case Replay(_):
                self.rows[key] = _raised(row, epoch)
                return "replayed", Answer(0)
            case Bury():
                self.rows[key] = replace(row, state=BarrierState.TOMBSTONE, epoch=epoch)
                return "buried", Answer(0)
        if self._refuses_undo(saga_id, step, self._count(key)):
            return "refused", UNDO_REFUSED
        self.rows[key] = replace(row, state=BarrierState.UNDONE, epoch=epoch, response=b"")
        return "undone", Answer(0)

    def _settle(self, saga_id: str, step: str, epoch: int) -> tuple[str, Answer]:
        key = saga_id, step
        row = self.rows.get(key)
        decision = None if row is None else decisions.judge_settle(row, epoch)
        if isinstance(decision, Refuse):
            return _refused(decision.reason)
        if row is None or isinstance(decision, Bury):
            self.rows[key] = Row(BarrierState.TOMBSTONE, epoch, None, None, None)
            return "buried", _settled(BarrierState.TOMBSTONE, b"")
        self.rows[key] = _raised(row, epoch)
        response = row.response or b"" if row.state is BarrierState.DONE else b""
        return "replayed", _settled(row.state, response)

    def _read(self, saga_id: str, step: str, path: str) -> tuple[str, Answer]:
        """Nothing to undo and nothing to prove; asked again, it says something else."""
        times = self._count((saga_id, step))
        if self._rejects(saga_id, step, times):
            return "read", BARE_REJECTED
        return "read", Answer(0, self._response(path, f"{step}-{saga_id}-{times}"))

    def _switch(self, saga_id: str, step: str, path: str, *, on: bool) -> tuple[str, Answer]:
        """Without a barrier: does whatever it is told whenever it is told, and remembers nothing of it."""
        key = saga_id, step
        was_on = key in self._set
        if on:
            if not was_on and self._rejects(saga_id, step, self._count(key)):
                return "rejected", BARE_REJECTED
            self._set.add(key)
            return "repeated" if was_on else "done", Answer(0, self._response(path, f"{step}-{saga_id}"))
        if was_on and self._refuses_undo(saga_id, step, self._count(key)):
            return "refused", UNDO_REFUSED
        self._set.discard(key)
        return "undone" if was_on else "absent", Answer(0)

    def keeps_barrier(self, path: str) -> bool:
        """Whether a call of the method meets one."""
        return path not in self._bare and path not in self._reading

    def _response(self, path: str, text: str) -> bytes:
        return filled(self._responses[path](), text).SerializeToString(deterministic=True)

    def _count(self, key: tuple[str, str]) -> int:
        self._asked[key] = self._asked.get(key, 0) + 1
        return self._asked[key]


def _raised(row: Row, epoch: int) -> Row:
    return replace(row, epoch=epoch) if epoch > row.epoch else row


def _refused(reason: Reason) -> tuple[str, Answer]:
    return reason.name, Answer(REFUSED_CODES[reason], reason=reason.name, domain=metadata.ERROR_DOMAIN)


def _settled(state: BarrierState, response: bytes) -> Answer:
    value = settle_pb.SettleState.Value(f"SETTLE_STATE_{state.name}")
    return Answer(0, settle_pb.SettleResponse(state=value, response=response).SerializeToString())


def filled(message: Message, text: str) -> Message:
    """The message with every text in it set, so that what is built from it differs from saga to saga."""
    for name in _texts_of(message.DESCRIPTOR):
        setattr(message, name, text)
    return message


@lru_cache
def _texts_of(descriptor: Descriptor) -> tuple[str, ...]:
    wanted = FieldDescriptor.TYPE_STRING
    return tuple(each.name for each in descriptor.fields if each.type == wanted and not each.is_repeated)
