"""Every placement of up to two mishaps in the life of a small saga, one after the other, none drawn.

A moment is a message that a node sends for the saga: a commit, a claim, a call. At each moment everything in
:data:`AT_CALL` or :data:`AT_WRITE` is tried; after a first mishap, every later moment of the life that it led to.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest
from inventory.v1.inventory_saga import InventoryService
from payment.v1.payment_pb2 import ChargeRequest, RefundRequest
from payment.v1.payment_saga import PaymentService

from orchestrator.core.definition import RetryPolicy
from orchestrator.core.state import SagaStatus
from orchestrator.definitions.registry import Registry, load_sagas
from orchestrator.definitions.saga import Saga
from tests.integration.engine import sagas
from tests.simulation.mishaps import Mishaps
from tests.simulation.world import Plan, Run, World

AT_CALL: Final = (
    *("lose_request", "lose_answer", "late_soon", "late_long", "duplicate"),
    *("crash_before", "crash_after", "freeze"),
)
AT_WRITE: Final = ("lose_request", "lose_answer", "late", "crash_before", "crash_after", "freeze")
WRITES: Final = {"commit", "claim"}
FREEZE_S: Final = 8.0
"""Longer than a lease."""
RESTART_S: Final = 1.0
HEALED_S: Final = 25.0
"""When the last direct consequence of two mishaps is over."""
STRAGGLERS: Final = {"late", "late_soon", "late_long", "duplicate", "freeze"}
STRAGGLE_S: Final = 14.0
QUICK: Final = RetryPolicy(initial_backoff_s=0.05, max_backoff_s=0.2, max_attempts=4, budget_s=60.0)

pair = Saga("pair", version=1, input=ReserveRequest, deadline_s=600.0)
"""Two steps, one after the other."""


@pair.step(InventoryService.Reserve, retry=QUICK, compensation_retry=QUICK)
def reserve(order: ReserveRequest) -> ReserveRequest:
    return ReserveRequest(order_id=order.order_id)


@reserve.compensation
def release(order: ReserveRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)


@pair.step(PaymentService.Charge, after=(reserve,), retry=QUICK, compensation_retry=QUICK)
def charge(order: ReserveRequest) -> ChargeRequest:
    return ChargeRequest(order_id=order.order_id)


@charge.compensation
def refund(order: ReserveRequest) -> RefundRequest:
    return RefundRequest(order_id=order.order_id)


@dataclass(frozen=True, slots=True)
class Life:
    """A saga to explore: its definition, and the step that the business rejects, if any."""

    registry: Registry
    rejected: str | None = None


LIVES: Final[Mapping[str, Life]] = {
    "pair": Life(load_sagas([pair])),
    "pair, charge rejected": Life(load_sagas([pair]), "charge"),
    "pivoted": Life(load_sagas([sagas.pivoted])),
    "pivoted, capture rejected": Life(load_sagas([sagas.pivoted]), "capture"),
}

Script = Mapping[int, str]
"""What happens at which moment."""


class Scripted(Mishaps):
    """Happen where the script says."""

    def __init__(self, script: Script, rejected: str | None) -> None:
        super().__init__(0, lambda: 0.0, until_s=0.0)
        self.moments: list[str] = []
        """``call`` or ``commit``, moment by moment."""
        self._script = script
        self._rejected = rejected

    def pick(self, group: str, key: str) -> str | None:
        """See :meth:`Mishaps.pick`."""
        name = key.split("/")[1] if "/" in key else ""
        if group == "business":
            return "reject" if name == self._rejected else None
        if group != "call" and not (group == "commit" and name in WRITES):
            return None
        kind = self._script.get(len(self.moments))
        self.moments.append(group)
        if kind is not None:
            self.counts[f"{group}:{kind}"] += 1
        return kind


class SmallWorld(World):
    """Two nodes, one caller, one saga."""

    def __init__(self, life: Life, script: Script, *, tells: bool = False) -> None:
        self.script = script
        self.scripted = Scripted(script, life.rejected)
        super().__init__(Plan(0, life.registry, sagas=1, nodes=2, scale=0, horizon_s=0.0, tells=tells))

    def make_mishaps(self) -> Mishaps:
        """See :class:`World`."""
        return self.scripted

    def strike_sender(self, node_name: str, kind: str) -> None:
        """See :class:`World`."""
        node = next(node for node in self.nodes if node.host.name == node_name)
        if kind == "freeze":
            node.freeze()
            self.net.later(FREEZE_S, node.thaw)
        elif node.is_up:
            node.crash()
            self.net.later(RESTART_S, partial(node.boot, None))

    async def live(self) -> None:
        """See :class:`World`."""
        for node in self.nodes:
            node.boot()
        self.outside(self.callers.start(0, 0.2))
        await asyncio.sleep(0.5)
        self.healed_s = HEALED_S
        await self.until_settled()
        if STRAGGLERS & set(self.script.values()):
            await asyncio.sleep(STRAGGLE_S)


@dataclass(slots=True)
class Explored:
    """What an exploration went through."""

    schedules: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[Script, list[str]]] = field(default_factory=list)


def explore(life: Life, *, depth: int) -> Explored:
    """Runs every schedule of up to ``depth`` mishaps."""
    explored = Explored()
    for script, done, counts in _schedules(life, {}, depth):
        explored.schedules += 1
        explored.kinds.update(counts)
        explored.ends.update(SagaStatus(saga.state).name for saga in done.history.sagas.values())
        if done.violations:
            explored.failures.append((script, done.violations))
    return explored


def _schedules(life: Life, script: Script, depth: int) -> Iterator[tuple[Script, Run, Counter[str]]]:
    world = SmallWorld(life, script)
    yield script, world.run(), world.scripted.counts
    if len(script) == depth:
        return
    first = max(script, default=-1) + 1
    for moment in range(first, len(world.scripted.moments)):
        for kind in AT_CALL if world.scripted.moments[moment] == "call" else AT_WRITE:
            yield from _schedules(life, {**script, moment: kind}, depth)


def transcript(life: Life, script: Script) -> list[str]:
    """Who did what when in one schedule."""
    return SmallWorld(life, script, tells=True).run().transcript


def main(arguments: Sequence[str]) -> int:
    """Explores every life; returns 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.exhaustive", description=__doc__)
    parser.add_argument("--depth", type=int, default=2, help="mishaps in one schedule")
    depth = parser.parse_args(arguments).depth
    failed = False
    for name, life in LIVES.items():
        began_s = time.monotonic()
        found = explore(life, depth=depth)
        ends = ", ".join(f"{count} {end}" for end, count in found.ends.most_common())
        sys.stdout.write(
            f"{name}: {found.schedules} schedules of up to {depth} mishaps in {time.monotonic() - began_s:.0f} s, "
            f"{len(found.failures)} violate; {ends}\n"
        )
        for script, violations in found.failures[:3]:
            failed = True
            lines = "\n  ".join([*violations, *transcript(life, script)])
            sys.stdout.write(f"{dict(script)}\n  {lines}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
