"""One run: nodes with the shipped engine, a database, participants, callers, and what goes wrong; all from one seed."""

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from orchestrator.core.state import TERMINAL, SagaStatus
from orchestrator.definitions.registry import Registry
from tests.simulation.callers import Callers
from tests.simulation.checker import check
from tests.simulation.database import Database
from tests.simulation.history import Failover, History, SagaRow
from tests.simulation.loop import SimulatedLoop
from tests.simulation.mishaps import Fired, Mishaps
from tests.simulation.network import Net
from tests.simulation.node import SimulatedNode
from tests.simulation.operators import Operators
from tests.simulation.participants import Participants
from tests.simulation.recording import EPOCH_US, asked_of, fences_of, lost_of, methods_of, overheard, rows_of, shape_of

TICK_S: Final = 1.0
MAX_LINES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of."""

    seed: int
    registry: Registry
    sagas: int = 150
    nodes: int = 3
    horizon_s: float = 30.0
    """Until when mishaps happen."""
    heals: bool = True
    """Liveness mode: all is healed then, and every saga must end. Otherwise the run is judged as it stands."""
    scale: float = 1.0
    """How often things go wrong; 0 for a calm run."""
    only: frozenset[str] | None = None
    """Names of the mishaps that may happen, of those that the seed draws; None: all of them."""
    operated: bool = True
    """Whether operators act, too."""
    without_callers: frozenset[int] = frozenset()
    schedule: int = 0
    """Another number is another order and other latencies, with the same mishaps."""
    tells: bool = False
    """Whether a transcript is kept."""


@dataclass(slots=True)
class Run:
    """What came of it."""

    plan: Plan
    history: History
    violations: list[str]
    fired: list[Fired]
    counts: Counter[str]
    transcript: list[str] = field(default_factory=list)


class World:
    """Builds everything, runs it, and writes down its history."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.transcript: list[str] = []
        self.defects: list[str] = []
        rng = random.Random(plan.seed + (plan.schedule << 64))
        self.loop = loop = SimulatedLoop(rng)
        mishaps = self.make_mishaps()
        database = Database(lambda: EPOCH_US + int(loop.now_s * 1_000_000), self._notify)
        self.net = Net(
            loop, rng, contextvars.copy_context(), mishaps, database, self._participants(mishaps), self.tell, plan.tells
        )
        self.net.strike = self.strike_sender
        self.net.keeps_writes = mishaps.may_pick("failover", "database")
        self.nodes = [
            SimulatedNode(self.net, f"n{number}", plan.registry, drift=(mishaps.draw(f"drift/{number}") - 0.5) / 1000)
            for number in range(plan.nodes)
        ]
        self.callers = Callers(self.net, self.nodes, list(plan.registry))
        self.operators = Operators(self.net, self.callers, self._strike_soon)
        if plan.scale and plan.operated:
            self.callers.started = self.operators.watch
        self.written: History | None = None
        """The history, from when it is complete until it is judged."""
        self.healed_s: float | None = None
        self.failover: tuple[float, float, dict[str, SagaRow]] | None = None
        """When, until when everything was kept, and what there was before."""

    def make_mishaps(self) -> Mishaps:
        """What goes wrong in this world."""
        plan = self.plan
        return Mishaps(plan.seed, self.loop.time, until_s=plan.horizon_s, only=plan.only, scale=plan.scale)

    def _participants(self, mishaps: Mishaps) -> Participants:
        def pick(group: str, saga_id: str, step: str, times: int) -> bool:
            return mishaps.pick(group, f"{self.net.label(saga_id)}/{step}/{times}") is not None

        return Participants(
            methods_of(self.plan.registry),
            self.loop.time,
            rejects=lambda *asked: pick("business", *asked),
            refuses_undo=lambda *asked: pick("undoing", *asked),
        )

    def _notify(self, hint: str, node_id: UUID | None) -> None:
        self.net.notify(hint, node_id)

    def tell(self, who: str, what: str) -> None:
        """A line of the transcript, if one is kept."""
        if self.plan.tells and len(self.transcript) < MAX_LINES:
            self.transcript.append(f"{self.loop.time():10.4f}  {who:<14}{what}")

    def run(self) -> Run:
        """Everything, from the first boot to the verdict."""
        with overheard(self.tell, self.defects, in_full=self.plan.tells):
            try:
                self.loop.run_until_complete(self.live())
                self.written = self.history()
            finally:
                self._bury()
        return self._judged()

    def _judged(self) -> Run:
        """What came of it. The world keeps nothing of that: it is one knot, and costs least if little is left in it."""
        history, self.written = self.written, None
        assert history is not None, "a run that broke off is not judged"
        fired, self.net.mishaps.fired = self.net.mishaps.fired, []
        self.net.sent, self.net.participants.deliveries, self.callers.acknowledged = [], [], []
        return Run(self.plan, history, check(history), fired, self.net.mishaps.counts, self.transcript)

    # ---- what happens ----

    async def live(self) -> None:
        for node in self.nodes:
            node.boot()
        arrivals = self.plan.horizon_s * 0.8
        draw = self.net.mishaps.draw
        for number in range(self.plan.sagas):
            if number not in self.plan.without_callers:
                self.outside(self.callers.start(number, 0.2 + draw(f"arrival/{number}") * arrivals))
        weather = [self.outside(self._weather()), self.outside(self._failover())] if self.plan.scale else []
        await self.loop.pause(self.plan.horizon_s)
        for each in weather:
            await each
        if self.plan.heals:
            self._heal()
            if self.plan.scale and self.plan.operated:
                self.outside(self.operators.resume_all())
            await self.until_settled()

    def outside(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        return self.loop.create_task(work, context=self.net.outside)

    async def _weather(self) -> None:
        """Strikes nodes and database, second by second."""
        mishaps = self.net.mishaps
        for second in range(int(self.plan.horizon_s)):
            for node in self.nodes:
                kind = mishaps.pick("tick", f"{node.name}/{second}")
                if kind is not None:
                    self.outside(self._strike(node, kind, second, TICK_S))
            if mishaps.pick("outage", str(second)):
                self.outside(self._outage(0.2 + 8 * mishaps.draw(f"outage/{second}/length") ** 2))
            await self.loop.pause(TICK_S)

    async def _failover(self) -> None:
        """The database dies, and a standby that was behind takes its place; an operator raises the incarnation."""
        net, draw = self.net, self.net.mishaps.draw
        await self.loop.pause(self.plan.horizon_s * (0.3 + 0.5 * draw("failover/moment")))
        if not net.mishaps.pick("failover", "database"):
            return
        now_s, behind_s = self.loop.time(), 0.02 + 4 * draw("failover/behind") ** 2
        self.tell("database", f"dies; its standby lacks the last {behind_s:.2f} s")
        self.failover = now_s, now_s - behind_s, rows_of(net.database)
        net.generation += 1
        net.database.recover(net.writes, EPOCH_US + int((now_s - behind_s) * 1_000_000))
        net.database.raise_incarnation()
        await self._outage(0.2 + 3 * draw("failover/length"))

    async def _outage(self, length_s: float) -> None:
        self.tell("database", f"away for {length_s:.1f} s")
        self.net.database_away = True
        await self.loop.pause(length_s)
        self.net.database_away = False
        self.tell("database", "back")

    def _strike_soon(self, node: SimulatedNode, kind: str, key: str, within_s: float) -> None:
        self.outside(self._strike(node, kind, key, within_s))

    async def _strike(self, node: SimulatedNode, kind: str, key: object, within_s: float) -> None:
        draw = self.net.mishaps.draw
        await self.loop.pause(draw(f"{node.name}/{key}/moment") * within_s)
        length_s = 0.1 + 12 * draw(f"{node.name}/{key}/length") ** 2
        if not node.is_up or node.host.is_frozen:
            return
        engine = node.engine
        self.tell(node.host.name, f"{kind} for {length_s:.1f} s")
        if kind in {"crash", "drain", "redefine"}:
            if kind == "drain":
                await asyncio.wait([node.drain()], timeout=30)
            if node.engine is engine:
                node.crash()
            await self.loop.pause(length_s)
            if node.engine is None:
                lacks_some = kind == "redefine" and self.healed_s is None
                node.boot(self._some_definitions(f"{node.name}/{key}") if lacks_some else self.plan.registry)
        elif kind == "freeze":
            node.freeze()
            await self.loop.pause(length_s)
            node.thaw()
        elif kind == "clock_jump":
            node.clock_offset_s += length_s
        else:
            name = {"cut_participants": "participants", "cut_participant_answers": "participant_answers"}.get(kind)
            cuts, name = node.cuts, name or kind.removeprefix("cut_")
            setattr(cuts, name, True)
            await self.loop.pause(length_s)
            setattr(cuts, name, False)

    def _some_definitions(self, key: str) -> Registry:
        """A program that lacks some of the definitions."""
        known = list(self.plan.registry)
        left = int(self.net.mishaps.draw(f"definitions/{key}") * len(known))
        return Registry(known[:left] + known[left + 1 :]) if len(known) > 1 else self.plan.registry

    def _heal(self) -> None:
        self.tell("world", "all is healed")
        self.healed_s = self.loop.time()
        self.net.database_away = False
        for node in self.nodes:
            node.thaw()
            for name in ("store", "store_answers", "participants", "participant_answers"):
                setattr(node.cuts, name, False)
            if node.is_up and len(node.registry) < len(self.plan.registry):
                node.crash()
            if not node.is_up:
                node.boot(self.plan.registry)

    async def until_settled(self) -> None:
        """Returns when every caller was answered and every saga has ended or is stuck; or when that takes too long."""
        began_s = self.loop.time()
        bound_s = max(shape_of(definition).patience_s for definition in self.plan.registry) + 60
        while self.loop.time() - began_s < bound_s:
            moving = (s for s in self.net.database.sagas.values() if not _rests(s.row.status))
            asked = (request.saga for request in self.net.database.waiting.values())
            if not self.callers.waiting and not any(moving) and all(s.ended_us is not None for s in asked):
                break
            await self.loop.pause(0.5)
        else:
            if self.callers.waiting:
                self.defects.append(f"{self.callers.waiting} callers were never answered")
        if self.plan.scale:
            # What is still on its way arrives, and must change nothing.
            await self.loop.pause(max(0.0, self.net.last_arrival_s - self.loop.time()) + 1.0)

    def strike_sender(self, node_name: str, kind: str) -> None:
        """A node is struck in the moment in which it sends something."""
        raise NotImplementedError(f"{kind} of {node_name}: only a script asks for it")

    # ---- the end ----

    def _bury(self) -> None:
        """Lets every coroutine end, after everything was written down."""
        self.net.closed = True
        for turn in range(20):
            self.loop.keep_tasks()  # what a task's end calls may have made another
            left = [task for task in self.loop.kept if not task.done()]
            for task in left:
                task.cancel()
            if turn == 0:
                self.loop.resurrect()
            elif not left:
                break
            self.loop.run_until_complete(asyncio.sleep(0.001))
        assert all(task.done() for task in self.loop.kept), "every coroutine has ended"
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        self.net.writes.clear()
        self.net.database.clear()

    def history(self) -> History:
        """Everything that was recorded."""
        rows, failover = rows_of(self.net.database), None
        if self.failover is not None:
            at_s, kept_until_s, before = self.failover
            failover = Failover(at_s, kept_until_s, lost_of(before, rows))
        failures = [f"{failure.get('message')}: {failure.get('exception')!r}" for failure in self.loop.failures]
        return History(
            {definition.label: shape_of(definition) for definition in self.plan.registry},
            sagas=rows,
            deliveries=self.net.participants.deliveries,
            sent=self.net.sent,
            acknowledged=self.callers.acknowledged,
            asked=asked_of(self.net.database),
            told=self.operators.told,
            fenced=fences_of(self.net.database),
            defects=[*self.defects, *failures],
            failover=failover,
            unknown=self.callers.unknown,
            healed_s=self.healed_s,
            ended_s=self.loop.time(),
        )


def _rests(status: SagaStatus) -> bool:
    return status in TERMINAL or status is SagaStatus.STUCK


def run(plan: Plan) -> Run:
    """One run of a plan."""
    return World(plan).run()


def told(plan: Plan) -> Run:
    """The same run again, with its transcript."""
    return run(replace(plan, tells=True))
