"""The same world with everything that goes wrong in it; the tape chooses, and once it has ended nothing does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from orchestrator.core.inputs import (
    CancelRequested,
    DeadlineReached,
    OperatorAction,
    OperatorRequested,
    Resumed,
    TimerFired,
)
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus
from tests.property.calm import Call, CalmWorld
from tests.property.node import Node


@dataclass(slots=True)
class World(CalmWorld):
    """Crashes, takeovers, zombies, lost and late calls and commits, cancels, deadlines; operators if ``operated``,
    failovers if ``lossy``.
    """

    def misfortunes(self) -> list[Callable[[], None]]:
        """What the tape may choose of all that can go wrong now."""
        options: list[tuple[str, Callable[[], None]]] = []
        node = self.owner
        if node is not None and not self.has_ended():
            options += [("crash", self.crash), ("takeover", self.take_over), ("resume", self.resume)]
            options += [("cancel", self.cancel), ("late", self.reach_deadline)]
        for call in [call for call in self.network if call.waits]:
            options += [("unlucky", partial(self.answer_badly, call))] * 3
        for call in [call for call in self.network if not call.waits]:
            options.append(("stray", partial(self.deliver_late, call)))
        for zombie in self.zombies:
            options += [("zombie", partial(self.stir, zombie))] * 2
        if self.operated and not self.store.state.is_terminal and self.store.state.seq:
            options += [("operator", self.operate)] * 3
        if self.lossy and self.store.incarnation < 2:
            options.append(("failover", self.fail_over))
        return [partial(self.suffer, name, act) for name, act in options]

    def suffer(self, name: str, act: Callable[[], None]) -> None:
        self.count(name)
        act()

    def crash(self) -> None:
        """The owner dies; a commit that was on its way lands, or does not."""
        node = self.owner
        assert node is not None
        if node.pending and self.tape.pick(2):
            node.commit(self.store)
        self.bury(node)
        self.owner = None

    def take_over(self) -> None:
        """Another node claims while the owner lives on, and does not know it."""
        node = self.owner
        assert node is not None
        self.zombies.append(node)
        self.claim(crashed=bool(self.tape.pick(2)))

    def resume(self) -> None:
        """A commit's answer was lost: the owner drops what it knows, and goes on from the journal as it is."""
        node = self.owner
        assert node is not None
        if node.pending and self.tape.pick(2):
            node.commit(self.store)
        self.bury(node)
        if self.has_ended():
            self.owner = None
            return
        self.owner = Node(self.spec, self.store.state, node.epoch, len(self.store.entries))
        self.owner.inbox.append(Resumed())

    def cancel(self) -> None:
        if self.tape.chance(25):  # or hardly a saga would get anywhere
            assert self.owner is not None
            self.count("cancelled")
            self.requests += 1
            self.owner.inbox.append(CancelRequested(self.requests))

    def operate(self) -> None:
        """An operator acts on what they have seen: the truth, or what it was a little earlier. In general the saga is
        claimed for it, so that its epoch is higher.
        """
        state = self.store.state
        action = OperatorAction(self.tape.pick(len(OperatorAction)) + 1)
        step = self.tape.pick(len(self.spec.steps)) if self.tape.chance(30) else None
        response = b"by hand" if self.tape.pick(2) else None
        node = self.owner
        in_place = action in {OperatorAction.FORCE_COMPENSATION, OperatorAction.PAUSE, OperatorAction.RESUME}
        if node is None or not in_place or state.status is SagaStatus.STUCK:
            if node is not None and (node.pending or any(call.waits and call.node is node for call in self.network)):
                return  # its owner hands it over once nothing is under way
            if node is not None:
                self.bury(node)
            self.claim(crashed=False)
        assert self.owner is not None
        self.requests += 1
        stale = self.tape.chance(10)
        expected_seq = state.moved_seq - 1 if stale else state.seq
        asked = OperatorRequested(self.requests, action, expected_seq, step, response, "ann", "by hand")
        self.owner.inbox.append(asked)
        self.count(f"asked {action.name}")

    def reach_deadline(self) -> None:
        if self.tape.chance(25):
            assert self.owner is not None
            self.count("overdue")
            self.now_us = max(self.now_us, self.owner.state.deadline_us)
            self.owner.inbox.append(DeadlineReached())

    def fail_over(self) -> None:
        """An asynchronous standby is promoted without the journal's end, and an operator says so."""
        if self.owner is not None:
            self.zombies.append(self.owner)
        self.store.lose(self.tape.pick(4))
        self.owner = None
        self.zombies = self.zombies[-3:]

    def stir(self, zombie: Node) -> None:
        """A zombie goes on as if nothing had happened."""
        if zombie.released():
            self.carry_out(zombie)
        elif zombie.pending and self.tape.pick(2):
            self.commit(zombie)
        elif zombie.inbox:
            self.take_input(zombie)
        elif zombie.timers:
            step, at_us = min(zombie.timers.items(), key=lambda timer: timer[1])
            self.now_us = max(self.now_us, at_us)
            del zombie.timers[step]
            zombie.inbox.append(TimerFired(step))

    def answer_badly(self, call: Call) -> None:
        """A call fails in one of the ways in which calls fail."""
        ways = [self.lose_answer, self.lose_request, self.give_up_on, self.refuse, self.poll, self.busy, self.misroute]
        if self.spec.steps[call.step].has_barrier:
            ways.append(self.deliver_twice)
        way = ways[self.tape.pick(len(ways))]
        self.suffer(way.__name__, partial(way, call))

    def lose_answer(self, call: Call) -> None:
        self.network.remove(call)
        self.participants.call(call.step, call.phase, call.node.epoch)
        self.tell(call, Outcome.UNKNOWN)

    def lose_request(self, call: Call) -> None:
        self.network.remove(call)
        self.tell(call, Outcome.UNKNOWN)

    def give_up_on(self, call: Call) -> None:
        """The deadline of the attempt passes; the request may arrive later."""
        call.waits = False
        self.tell(call, Outcome.UNKNOWN)

    def deliver_twice(self, call: Call) -> None:
        self.network.append(Call(call.node, call.step, call.phase, call.attempt, waits=False))
        self.answer(call)

    def refuse(self, call: Call) -> None:
        """An interceptor or a proxy answers with the status of a verdict, which proves nothing."""
        self.network.remove(call)
        self.tell(call, Outcome.REFUSED)

    def poll(self, call: Call) -> None:
        self.network.remove(call)
        self.tell(call, Outcome.BUSY, retry_s=7)

    def busy(self, call: Call) -> None:
        self.network.remove(call)
        self.tell(call, Outcome.BUSY)

    def misroute(self, call: Call) -> None:
        self.network.remove(call)
        self.tell(call, Outcome.MISCONFIGURED)
