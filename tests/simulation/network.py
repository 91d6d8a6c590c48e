"""The network between a node and the database, and between a node and the participants; both lose, delay and repeat."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field, replace
from functools import partial
from math import log
from typing import Final, Generic, TypeVar
from uuid import UUID

from contracts import metadata
from orchestrator.engine.ports import Answer, Call, StoreUnavailable
from tests.simulation.database import Database
from tests.simulation.history import Sent
from tests.simulation.loop import SimulatedLoop
from tests.simulation.mishaps import Mishaps
from tests.simulation.participants import CallKey, Participants, key_of

ResultT = TypeVar("ResultT")

STORE_LATENCY_S: Final = 0.002
CALL_LATENCY_S: Final = 0.01
STATEMENT_TIMEOUT_S: Final = 3.0
COMMAND_TIMEOUT_S: Final = 4.0
RENEW_TIMEOUT_S: Final = 1.0
LATEST_CALL_S: Final = 40.0
"""A request may arrive this long after it was sent."""
LATE_S: Final = {"late_soon": 1.0, "late_long": 12.0}
SENDER_KINDS: Final = {"crash_before", "crash_after", "freeze"}
"""What happens to a node as it sends something."""
UNAVAILABLE: Final = Answer(14, message="connection lost")
EXCEEDED: Final = Answer(4, message="deadline exceeded")


@dataclass(slots=True)
class Net:
    """What everything outside the nodes shares."""

    loop: SimulatedLoop
    rng: random.Random
    outside: Context
    """In it runs what belongs to no node."""
    mishaps: Mishaps
    database: Database
    participants: Participants
    tell: Callable[[str, str], None]
    """Who, and what: a line of the transcript."""
    tells: bool
    """Whether anybody listens to ``tell``."""
    sent: list[Sent] = field(default_factory=list)
    database_away: bool = False
    closed: bool = False
    strike: Callable[[str, str], None] = lambda _node, _kind: None
    """Strikes the process that is sending."""
    calls: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ears: dict[UUID, "asyncio.Queue[str]"] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    generation: int = 0
    """Counts failovers: what was sent to the database before one does not reach the next."""
    writes: list[tuple[int, Callable[[], object]]] = field(default_factory=list)
    """Every statement that may have changed something, and when."""

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """``act`` happens outside of all nodes."""
        self.loop.call_at(self.loop.time() + delay_s, act, context=self.outside)

    def latency(self, mean_s: float) -> float:
        return -log(1.0 - self.rng.random()) * mean_s

    def label(self, saga_id: str) -> str:
        """The saga's name in mishaps and transcripts: the same in every run of a seed."""
        known = self.labels.get(saga_id)
        if known is not None:
            return known
        saga = self.database.sagas.get(UUID(saga_id))
        if saga is None:
            return saga_id
        self.labels[saga_id] = saga.request_id
        return saga.request_id

    def notify(self, hint: str, node_id: UUID | None) -> None:
        """NOTIFY: sometimes nobody hears it."""
        for ear in self.ears.values() if node_id is None else filter(None, [self.ears.get(node_id)]):
            if not self.database_away and ear.qsize() < 8 and self.rng.random() < 0.95:
                self.later(self.latency(STORE_LATENCY_S), partial(ear.put_nowait, hint))


@dataclass(slots=True)
class Cuts:
    """Which of a node's connections are cut: in full, or only the answers."""

    store: bool = False
    store_answers: bool = False
    participants: bool = False
    participant_answers: bool = False


class FaultyLink:
    """From one node to the database."""

    def __init__(self, net: Net, node: str, cuts: Cuts) -> None:
        self._net = net
        self._node = node
        self._cuts = cuts
        self._asked: Counter[str] = Counter()

    async def ask(self, name: str, statement: Callable[[], ResultT], *, writes: bool = False) -> ResultT:
        """See :class:`tests.simulation.store.Link`."""
        net, cuts = self._net, self._cuts
        if net.closed:
            raise StoreUnavailable("the run is over")
        self._asked[name] += 1
        kind = net.mishaps.pick("commit", self._node, name, self._asked[name]) if writes else None
        if kind in SENDER_KINDS:
            net.strike(self._node, kind)
            if kind == "crash_before":
                await net.loop.create_future()
        limit_s = RENEW_TIMEOUT_S if name == "renew" else COMMAND_TIMEOUT_S
        answer: asyncio.Future[ResultT] = net.loop.create_future()
        if kind is not None:
            net.tell(self._node, f"{name}: {kind}")

        soon = net.rng.random() < 0.5
        silence_s = 0.05 if soon else limit_s
        sent = _Statement(net, cuts, name, statement, answer, kind, silence_s, writes, net.generation)
        delay_s = net.latency(STORE_LATENCY_S)
        if kind == "lose_request" or cuts.store or net.database_away:
            sent.fail()
        elif kind in {"late", "slow"}:
            net.later(delay_s if kind == "late" else limit_s, sent.give_up)
            net.later(net.rng.uniform(0, STATEMENT_TIMEOUT_S), sent.land)
        else:
            net.later(delay_s, sent.land)
        return await answer

    def hear(self, node_id: UUID) -> "asyncio.Queue[str]":
        """See :class:`tests.simulation.store.Link`."""
        return self._net.ears.setdefault(node_id, asyncio.Queue())


@dataclass(slots=True)
class _Statement(Generic[ResultT]):
    """One statement on its way: it lands or not, and is answered or not."""

    net: Net
    cuts: Cuts
    name: str
    act: Callable[[], ResultT]
    answer: "asyncio.Future[ResultT]"
    kind: str | None
    silence_s: float
    """How long it takes to notice that no answer comes."""
    writes: bool
    generation: int

    def land(self) -> None:
        """It takes effect, or the database refuses it."""
        net = self.net
        if net.database_away or net.generation != self.generation:
            self.fail()
            return
        if self.writes:
            net.writes.append((net.database.now_us(), self.act))
        outcome: ResultT | Exception
        try:
            outcome = self.act()
        except Exception as error:
            outcome = error
        if self.kind == "lose_answer" or self.cuts.store_answers:
            self.fail()
        elif self.kind != "late":
            net.later(net.latency(STORE_LATENCY_S), partial(self.settle, outcome))

    def settle(self, outcome: ResultT | Exception) -> None:
        """The answer arrives."""
        if self.answer.done():
            return
        if self.net.database_away or self.net.generation != self.generation:
            self.fail()
        elif isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)

    def fail(self) -> None:
        """No answer will come."""
        self.net.later(self.silence_s, self.give_up)

    def give_up(self) -> None:
        """The node stops waiting."""
        if not self.answer.done():
            self.answer.set_exception(StoreUnavailable(f"no answer: {self.name}"))


class Wire:
    """From one node to the participants. Implements ``orchestrator.engine.ports.Participants``."""

    def __init__(self, net: Net, node: str, cuts: Cuts) -> None:
        self._net = net
        self._node = node
        self._cuts = cuts
        self._acting: Counter[tuple[str, str]] = Counter()
        """Calls of each action that have not ended here."""

    async def call(self, call: Call) -> Answer:
        """See ``Participants.call``. A call that was cancelled may still arrive."""
        net = self._net
        if net.closed:
            return UNAVAILABLE
        key = key_of(call)
        saga_id, step, phase, epoch = key
        overlaps = phase == metadata.PHASE_COMPENSATION and self._acting[saga_id, step] > 0
        net.sent.append(Sent(net.loop.time(), self._node, saga_id, step, phase, epoch, overlaps))
        net.calls[saga_id, step, phase] += 1
        label = net.label(saga_id)
        group = "call" if net.participants.keeps_barrier(call.path) else "bare_call"
        kind = net.mishaps.pick(group, label, step, phase, net.calls[saga_id, step, phase])
        if net.tells:
            net.tell(self._node, f"{label} calls {step}/{phase} under {epoch}{'' if kind is None else ': ' + kind}")
        if kind in SENDER_KINDS:
            net.strike(self._node, kind)
            if kind == "crash_before":
                await net.loop.create_future()
        exchange = _Exchange(net, self._cuts, call, key, f"{label} {step}/{phase} under {epoch}" if net.tells else "")
        exchange.begin(kind)
        acting = phase == metadata.PHASE_ACTION
        self._acting[saga_id, step] += acting
        try:
            return await exchange.answer
        finally:
            self._acting[saga_id, step] -= acting


class _Exchange:
    """One RPC: when it arrives, how often, and what its caller is told."""

    def __init__(self, net: Net, cuts: Cuts, call: Call, key: CallKey, what: str) -> None:
        self.answer: asyncio.Future[Answer] = net.loop.create_future()
        self._net = net
        self._cuts = cuts
        self._call = call
        self._key = key
        self._what = what
        self._deadline_s = net.loop.time() + call.deadline_s

    def begin(self, kind: str | None) -> None:
        """Schedules what happens."""
        net, delay_s = self._net, self._net.latency(CALL_LATENCY_S)
        if kind in {"busy", "refused_bare", "misconfigured"}:
            self._reply(delay_s, _turned_away(kind, net.rng))
        elif kind == "lose_request" or self._cuts.participants:
            self._lose()
        elif kind == "late":
            self._reply(delay_s, UNAVAILABLE if net.rng.random() < 0.5 else EXCEEDED)
            net.later(LATEST_CALL_S ** net.rng.random() - 1, self._arrive_unheard)
        elif kind in LATE_S:
            self._reply(delay_s, UNAVAILABLE)
            net.later(LATE_S[kind], self._arrive_unheard)
        elif kind == "slow":
            net.later(self._call.deadline_s * net.rng.uniform(0.2, 1.5), self._arrive)
        else:
            net.later(delay_s, lambda: self._arrive(kind))
        if kind == "duplicate":
            for _ in range(net.rng.randint(1, 3)):
                net.later(net.latency(CALL_LATENCY_S) * net.rng.choice((1, 1, 100)), self._arrive)

    def _arrive(self, kind: str | None = None) -> None:
        net = self._net
        answer = self._deliver(self._call)
        if kind == "altered":
            other = replace(self._call, request=self._call.request + b"\xfa\x7f\x01x")
            net.later(net.latency(CALL_LATENCY_S) * net.rng.choice((1, 100)), partial(self._arrive_altered, other))
        if kind == "lose_answer" or self._cuts.participant_answers:
            self._lose()
        elif kind == "error_after_work":
            self._reply(net.latency(CALL_LATENCY_S), Answer(net.rng.choice((2, 13, 15)), message="failed after all"))
        else:
            self._reply(net.latency(CALL_LATENCY_S), answer)

    def _arrive_unheard(self) -> None:
        self._deliver(self._call)

    def _arrive_altered(self, call: Call) -> None:
        self._deliver(call)

    def _deliver(self, call: Call) -> Answer:
        answer = self._net.participants.deliver(call, self._key)
        if self._net.tells:
            self._net.tell("participants", f"{self._what}: {self._net.participants.deliveries[-1].result}")
        return answer

    def _lose(self) -> None:
        soon = self._net.rng.random() < 0.5
        self._reply(0.01 if soon else self._call.deadline_s, UNAVAILABLE if soon else EXCEEDED)

    def _reply(self, delay_s: float, answer: Answer) -> None:
        left_s = max(0.0, self._deadline_s - self._net.loop.time())
        if delay_s >= left_s:
            delay_s, answer = left_s, EXCEEDED

        def hear() -> None:
            if not self.answer.done():
                self.answer.set_result(answer)

        self._net.later(delay_s, hear)


def _turned_away(kind: str, rng: random.Random) -> Answer:
    """Answers of something in between, or of a participant that did nothing."""
    if kind == "busy":
        return Answer(8, message="busy", retry_delay_s=rng.choice((None, 0.5)))
    if kind == "misconfigured":
        return Answer(12, message="no such method")
    return Answer(3, message="refused on the way", reason="INVALID", domain="proxy")
