"""The network between a node and the participants: it loses, delays, repeats and alters calls."""

import asyncio
import random
from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import Final

from contracts import metadata
from orchestrator.engine.ports import Answer, Call
from tests.simulation.history import Sent
from tests.simulation.network import SENDER_KINDS, Cuts, Net
from tests.simulation.participants import CallKey, key_of

CALL_LATENCY_S: Final = 0.01
LATEST_CALL_S: Final = 40.0
"""A request may arrive this long after it was sent."""
LATE_S: Final = {"late_soon": 1.0, "late_long": 12.0}
UNAVAILABLE: Final = Answer(14, message="connection lost")
EXCEEDED: Final = Answer(4, message="deadline exceeded")


class Wire:
    """From one node to the participants. Implements ``orchestrator.engine.ports.Participants``."""

    def __init__(self, net: Net, node: str, cuts: Cuts) -> None:
        self._net = net
        self._node = node
        self._cuts = cuts
        self._acting: defaultdict[tuple[str, str], int] = defaultdict(int)
        """Calls of each action that have not ended here."""

    async def call(self, call: Call) -> Answer:
        """See ``Participants.call``. A call that was cancelled may still arrive."""
        net = self._net
        if net.closed:
            return UNAVAILABLE
        key = key_of(call)
        saga_id, step, phase, epoch = key
        overlaps = phase == metadata.PHASE_COMPENSATION and self._acting[saga_id, step] > 0
        # In whole microseconds, as the database has its times: or what lands right after it seems to be before it.
        at_s = int(net.loop.now_s * 1_000_000) / 1_000_000
        net.sent.append(Sent(at_s, self._node, saga_id, step, phase, epoch, overlaps))
        called = saga_id, step, phase
        net.calls[called] += 1
        label = net.label(saga_id)
        group = "call" if net.participants.keeps_barrier(call.path) else "bare_call"
        kind = net.mishaps.pick(group, f"{label}/{step}/{phase}/{net.calls[called]}")
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
        self._deadline_s = net.loop.now_s + call.deadline_s

    def begin(self, kind: str | None) -> None:
        """Schedules what happens."""
        net, delay_s = self._net, self._net.latency(CALL_LATENCY_S)
        if kind in {"busy", "refused_bare", "misconfigured"}:
            self._reply(delay_s, _turned_away(kind, net.rng))
        elif kind == "lose_request" or self._cuts.participants:
            self._lose()
        elif kind == "late":
            self._reply(delay_s, UNAVAILABLE if net.rng.random() < 0.5 else EXCEEDED)
            net.arrives(LATEST_CALL_S ** net.rng.random() - 1, self._arrive_unheard)
        elif kind in LATE_S:
            self._reply(delay_s, UNAVAILABLE)
            net.arrives(LATE_S[kind], self._arrive_unheard)
        elif kind == "slow":
            net.arrives(self._call.deadline_s * net.rng.uniform(0.2, 1.5), self._arrive)
        else:
            net.arrives(delay_s, lambda: self._arrive(kind))
        if kind == "duplicate":
            for _ in range(net.rng.randint(1, 3)):
                net.arrives(net.latency(CALL_LATENCY_S) * net.rng.choice((1, 1, 100)), self._arrive)

    def _arrive(self, kind: str | None = None) -> None:
        net = self._net
        answer = self._deliver(self._call)
        if kind == "altered":
            other = replace(self._call, request=self._call.request + b"\xfa\x7f\x01x")
            net.arrives(net.latency(CALL_LATENCY_S) * net.rng.choice((1, 100)), partial(self._arrive_altered, other))
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
        left_s = max(0.0, self._deadline_s - self._net.loop.now_s)
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
