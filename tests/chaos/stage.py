"""A world under load on which faults are played, and what every fault needs to see from outside that it was fired."""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import grpc
import psutil

from contracts.metadata import ATTEMPT, EPOCH, IDEMPOTENCY_KEY, SAGA_ID, SAGA_STEP
from tests.chaos import checker
from tests.chaos.load import Load
from tests.chaos.world import Actor, World

POLL_S: Final = 0.05
QUIET_S: Final = 75.0
"""How long sagas may take to end once all is healed: the lease, the longest backoff of the shipped definitions (30 s,
drawn anew), and their deadlines of 10 s."""


class NotFiredError(Exception):
    """A fault could not be made, or was not seen from outside."""


@dataclass
class Stage:
    """``full`` plays everything, at its whole length."""

    world: World
    load: Load
    full: bool
    notes: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """To whoever watches the run."""
        sys.stdout.write(f"    {text}\n")
        sys.stdout.flush()

    def wrong(self, violation: str) -> None:
        """Something that a caller or a zombie saw and must not see."""
        self.load.told.wrong.append(violation)

    async def two(self) -> tuple[Actor, Actor]:
        """Two nodes that serve and have run a saga: their connections stand."""
        await self.world.heal()
        first, second = self.world.live[-2:]
        for node in (first, second):
            await self.ended([await self.load.place_at(node, ("brisk-order", 2), 20)], 20)
            (row,) = await self.world.sql("orchestrator", "SELECT node_id FROM node WHERE name = $1", node.name)
            node.node_id = str(row["node_id"])
        return first, second

    async def row(self, saga_id: str) -> Any:
        """A saga's row, or None."""
        rows = await self.world.sql("orchestrator", "SELECT * FROM saga WHERE saga_id = $1", UUID(saga_id))
        return rows[0] if rows else None

    async def barrier(self, participant: str, saga_id: str, step: str) -> Any:
        """A barrier's row, or None."""
        found = await self.world.sql(
            participant, "SELECT * FROM saga_barrier WHERE saga_id = $1 AND step = $2", UUID(saga_id), step
        )
        return found[0] if found else None

    async def owned_by(self, node: Actor, saga_ids: Collection[str]) -> int:
        """How many of the sagas the node's last seen incarnation owns."""
        rows = await self.world.sql(
            "orchestrator",
            "SELECT count(*) FROM saga WHERE saga_id = ANY ($1) AND owner = $2",
            [UUID(each) for each in saga_ids],
            UUID(node.node_id),
        )
        return int(rows[0][0])

    async def live_of(self, saga_ids: Collection[str]) -> int:
        """How many of the sagas are under way."""
        rows = await self.world.sql(
            "orchestrator",
            "SELECT count(*) FROM saga WHERE saga_id = ANY ($1) AND state IN (1, 2, 4)",
            [UUID(each) for each in saga_ids],
        )
        return int(rows[0][0])

    async def ended(self, saga_ids: Collection[str], timeout_s: float) -> float:
        """Waits until none of the sagas is under way; returns how long that took. Raises ``AssertionError``."""
        began = time.monotonic()

        async def quiet() -> bool:
            return await self.live_of(saga_ids) == 0

        await until(quiet, timeout_s, f"{len(saga_ids)} sagas ended")
        return time.monotonic() - began

    async def quiet(self, timeout_s: float = QUIET_S) -> float:
        """Pauses the callers and waits until no saga is under way; returns how long that took."""
        began = time.monotonic()
        self.load.paused.set()

        async def none_live() -> bool:
            return self.load.busy == 0 and await checker.count_live(self.world) == 0

        try:
            await until(none_live, timeout_s, "all sagas ended")
        except AssertionError:
            self.say(f"live sagas remain after {timeout_s:g} s")
        return time.monotonic() - began

    async def forge(self, participant: str, path: str, request: Any, key: str, epoch: int) -> str:
        """Plays a zombie: calls a participant as a node would, under an idempotency key.

        Returns ``OK`` or the status and its details.
        """
        saga_id, step, _ = key.split("/")
        metadata = (
            (SAGA_ID, saga_id),
            (SAGA_STEP, step),
            (IDEMPOTENCY_KEY, key),
            (EPOCH, str(epoch)),
            (ATTEMPT, "9"),
        )
        async with grpc.aio.insecure_channel(self.world.participants[participant].address) as channel:
            try:
                await channel.unary_unary(path)(request.SerializeToString(), metadata=metadata, timeout=10)
            except grpc.aio.AioRpcError as error:
                trailers = dict(error.trailing_metadata() or ())
                return f"{error.code().name} {bytes(trailers.get('grpc-status-details-bin', b''))!r}"
        return "OK"


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
    """Waits for a condition that no event announces. Raises ``AssertionError``."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_s:g} s not: {what}")
        await asyncio.sleep(POLL_S)


async def stopped(actor: Actor) -> None:
    """Stops a process, and sees it. Raises ``NotFiredError``."""
    actor.signal(signal.SIGSTOP)

    async def is_stopped() -> bool:
        return psutil.Process(actor.child.pid).status() == psutil.STATUS_STOPPED

    try:
        await until(is_stopped, 3, f"{actor.name} stopped")
    except AssertionError as error:
        raise NotFiredError(str(error)) from error


def must(fired: object, what: str) -> None:
    """Raises ``NotFiredError`` unless the effect was seen."""
    if not fired:
        raise NotFiredError(what)


Play = Callable[[Stage], Awaitable[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One class of the catalogue. ``play`` fires it and returns how often, and what was seen from outside.

    ``short``: quick enough for every change. ``alone``: brings a world of its own.
    """

    name: str
    title: str
    play: Play
    short: bool


FAULTS: Final[dict[str, Fault]] = {}


def fault(name: str, title: str, *, short: bool = False) -> Callable[[Play], Play]:
    """Registers a class."""

    def register(play: Play) -> Play:
        FAULTS[name] = Fault(name, title, play, short)
        return play

    return register
