"""Callers of the API: each starts a saga until it is told what became of it; some cancel, repeat or misuse an id."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from orchestrator.definitions.model import Definition
from orchestrator.engine.api import Draining, OverCapacity
from orchestrator.engine.engine import Engine
from orchestrator.engine.ports import RequestReused, Started, StoreUnavailable
from tests.simulation.history import Acknowledged
from tests.simulation.network import Net
from tests.simulation.node import SimulatedNode
from tests.simulation.participants import filled

ResultT = TypeVar("ResultT")
PATIENCE_S: Final = 12.0
CANCEL_TRIES: Final = 20


class NotAnswered(Exception):  # noqa: N818  (what happened)
    """The node died, or did not answer in time."""


@dataclass(slots=True)
class Callers:
    """All of them, and what they were told."""

    net: Net
    nodes: Sequence[SimulatedNode]
    definitions: Sequence[Definition]
    acknowledged: list[Acknowledged] = field(default_factory=list)
    waiting: int = 0
    cancels: dict[str, int] = field(default_factory=dict)
    """How requests to cancel were answered."""
    started: Callable[[int, UUID], None] = lambda _number, _saga_id: None
    """Told of every saga that a caller was told of."""
    unknown: list[str] = field(default_factory=list)
    """Sagas that were acknowledged once, and of which the system then said that there is no such saga."""

    async def start(self, number: int, at_s: float) -> None:
        """One caller with one saga."""
        self.waiting += 1
        try:
            await self.net.loop.pause(at_s)
            mishap = self.net.mishaps.pick("saga", str(number))
            definition = self.definitions[int(self.net.mishaps.draw(f"definition/{number}") * len(self.definitions))]
            order = number - 1 if mishap == "same_key" else number
            saga_id = await self._start(definition, number, filled(definition.input(), f"o{order}"))
            if saga_id is not None:
                self.started(number, saga_id)
            if mishap == "repeat":
                await self._start(definition, number, filled(definition.input(), f"o{order}"))
            elif mishap == "reuse":
                await self._start(definition, number, filled(definition.input(), f"o{number}-other"))
            elif mishap == "cancel" and saga_id is not None:
                await self.net.loop.pause(self.net.mishaps.draw(f"cancel/{number}") ** 3 * 3)
                await self._cancel(saga_id, number)
        finally:
            self.waiting -= 1

    async def _start(self, definition: Definition, number: int, order: Message) -> UUID | None:
        """Repeats the start until it is answered; None if the run is over first."""
        request_id, stored = f"r{number}", definition.store_input(order)
        tries = 0
        while not self.net.closed:
            tries += 1

            async def ask(engine: Engine) -> Started:
                return await engine.start(definition, order, caller="caller", request_id=request_id)

            try:
                started = await self.ask(number + tries, ask, definition)
            except (NotAnswered, StoreUnavailable, Draining, OverCapacity):
                await self.net.loop.pause(0.2 + 0.5 * self.net.rng.random())
                continue
            now_s = self.net.loop.time()
            self.net.tell("caller", f"{request_id} is told {started.conflict or started.saga_id}")
            ack = Acknowledged(now_s, request_id, stored, str(started.saga_id), started.conflict)
            self.acknowledged.append(ack)
            return None if started.conflict else started.saga_id
        return None

    async def _cancel(self, saga_id: UUID, number: int) -> None:
        for tries in range(CANCEL_TRIES):

            async def ask(engine: Engine) -> str:
                refusal = await engine.cancel(saga_id, caller="caller", request_id=f"c{number}", timeout_s=5.0)
                return "granted" if refusal is None else refusal.reason

            try:
                told = await self.ask(number + tries, ask, None)
            except (NotAnswered, StoreUnavailable, TimeoutError, RequestReused):
                await self.net.loop.pause(0.5)
                continue
            except KeyError:
                told = "no such saga"
                self.unknown.append(str(saga_id))
            self.net.tell("caller", f"r{number} cancel: {told}")
            self.cancels[told] = self.cancels.get(told, 0) + 1
            return

    async def ask(
        self, number: int, ask: Callable[[Engine], Coroutine[Any, Any, ResultT]], definition: Definition | None
    ) -> ResultT:
        """One RPC to one of the nodes that run. Its handler lives and dies with the node."""
        running = [node for node in self.nodes if node.engine is not None]
        if definition is not None:
            running = [node for node in running if node.registry.find_digest(definition.digest)]
        node = running[number % len(running)] if running else None
        engine = None if node is None else node.engine
        if node is None or engine is None or not engine._services.are_running:
            raise NotAnswered
        handler = node.spawn(ask(engine))
        await self._wait(handler)
        if not handler.done() or handler.cancelled():
            raise NotAnswered
        try:
            result: ResultT = handler.result()
        finally:
            del handler  # it holds the exception, whose traceback holds this frame: a knot for each call that fails
        return result

    async def _wait(self, handler: "asyncio.Task[Any]") -> None:
        """``asyncio.wait`` for one task, ``PATIENCE_S`` long, at a third of what that costs."""
        loop = self.net.loop
        over = loop.create_future()

        def give_up() -> None:
            if not over.done():
                over.set_result(None)

        def end(ended: "asyncio.Task[Any]") -> None:
            give_up()
            if not ended.cancelled():
                ended.exception()  # what it raises after its caller left is nobody's

        patience = loop.call_later(PATIENCE_S, give_up)
        handler.add_done_callback(end)
        try:
            await over
        finally:
            patience.cancel()
