"""What the nodes share, and the network between a node and the database: it loses, delays and repeats."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from math import log
from typing import Final, Generic, TypeVar
from uuid import UUID

from orchestrator.engine.ports import StoreUnavailable
from tests.simulation.database import Database
from tests.simulation.history import Sent
from tests.simulation.loop import SimulatedLoop
from tests.simulation.mishaps import Mishaps
from tests.simulation.participants import Participants

ResultT = TypeVar("ResultT")

STORE_LATENCY_S: Final = 0.002
STATEMENT_TIMEOUT_S: Final = 3.0
COMMAND_TIMEOUT_S: Final = 4.0
RENEW_TIMEOUT_S: Final = 1.0
SENDER_KINDS: Final = {"crash_before", "crash_after", "freeze"}
"""What happens to a node as it sends something."""


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
    calls: defaultdict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    ears: dict[UUID, "asyncio.Queue[str]"] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    last_arrival_s: float = 0.0
    """When the last request that is on its way will have arrived."""
    generation: int = 0
    """Counts failovers: what was sent to the database before one does not reach the next."""
    keeps_writes: bool = True
    """Whether the database may fail over, and a standby be made of what was written."""
    writes: list[tuple[int, Callable[[], object]]] = field(default_factory=list)
    """Every statement that may have changed something, and when."""

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """``act`` happens outside of all nodes."""
        self.loop.later(delay_s, act, self.outside)

    def arrives(self, delay_s: float, act: Callable[[], None]) -> None:
        """``act`` is a request that reaches its participant."""
        self.last_arrival_s = max(self.last_arrival_s, self.loop.now_s + delay_s)
        self.later(delay_s, act)

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
        """How many statements that write were sent."""

    def ask(self, name: str, statement: Callable[[], ResultT], *, writes: bool = False) -> "asyncio.Future[ResultT]":
        """See :class:`tests.simulation.store.Link`."""
        net, cuts = self._net, self._cuts
        if net.closed:
            raise StoreUnavailable("the run is over")
        kind = None
        if writes:
            self._asked[name] += 1
            kind = net.mishaps.pick("commit", f"{self._node}/{name}/{self._asked[name]}")
        if kind is not None:
            net.tell(self._node, f"{name}: {kind}")
            if kind in SENDER_KINDS:
                net.strike(self._node, kind)
                if kind == "crash_before":
                    return net.loop.create_future()
        limit_s = RENEW_TIMEOUT_S if name == "renew" else COMMAND_TIMEOUT_S
        answer: asyncio.Future[ResultT] = net.loop.create_future()
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
        return answer

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
        if self.writes and net.keeps_writes:
            net.writes.append((net.database.now_us(), self.act))
        outcome: ResultT | Exception
        try:
            outcome = self.act()
        except Exception as error:
            outcome = error.with_traceback(None)  # which would tie this frame to it
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
