"""Operators: they look at sagas, think, and act, on what they saw or on what it was before; two of them at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID

from orchestrator.core.operate import stuck_step, waits
from orchestrator.core.state import SagaState, SagaStatus
from orchestrator.definitions.model import Definition
from orchestrator.engine.api import SagaView
from orchestrator.engine.engine import Engine
from orchestrator.engine.ports import RequestReused, SagaEnded, StoreUnavailable, TooManyRequests
from orchestrator.operations.values import AuditAction, SagaAction
from tests.simulation.callers import Callers, NotAnswered
from tests.simulation.history import Told
from tests.simulation.network import Net
from tests.simulation.node import SimulatedNode
from tests.simulation.participants import filled
from tests.simulation.store import SimulatedStore

ACTIONS: Final[Mapping[str, AuditAction]] = {action.name.lower(): action for action in list(AuditAction)[:7]}
RETRIES: Final = ("retry", "retry_compensation")
"""Of a saga that goes forward, and of one that goes back."""
VISITS: Final = 5
TRIES: Final = 20
STRIKE_WITHIN_S: Final = 0.03
"""About as long as a request takes to reach the saga's owner."""


@dataclass(slots=True)
class Operators:
    """All of them. ``strike`` strikes a node somewhere within some seconds, with a kind of mishap, drawn by a key."""

    net: Net
    callers: Callers
    strike: Callable[[SimulatedNode, str, str, float], None]
    told: list[Told] = field(default_factory=list)

    def watch(self, number: int, saga_id: UUID, visit: int = 0) -> None:
        """Looks at one saga, soon after it began and then every few seconds, while things go wrong."""
        mishaps, drawn = self.net.mishaps, self.net.mishaps.draw(f"visit/{number}/{visit}")
        delay_s = drawn**3 * 3 if visit == 0 else 0.5 + 5 * drawn
        if visit < VISITS and self.net.loop.now_s + delay_s < mishaps.until_s:
            self.net.later(delay_s, partial(self._pass_by, number, saga_id, visit))

    def _pass_by(self, number: int, saga_id: UUID, visit: int) -> None:
        """Whether to act is decided by the state in a list; then the saga is looked at, and may have got on."""
        listed = self.net.database.sagas.get(saga_id)
        if listed is not None and listed.ended_us is not None:
            return
        kind = None
        if listed is not None:
            group = "repair" if listed.row.status is SagaStatus.STUCK else "intervene"
            kind = self.net.mishaps.pick(group, f"{number}/{visit}")
        if kind is None:
            self.watch(number, saga_id, visit + 1)
        else:
            self.net.loop.create_task(self._open(number, saga_id, visit, kind), context=self.net.outside)

    async def _open(self, number: int, saga_id: UUID, visit: int, kind: str) -> None:
        place = number + visit
        view = await self._look(place, saga_id)
        if view is not None and view.definition is not None and view.state is not None:
            if view.state.is_terminal:
                return
            key = f"{number}/{visit}"
            await self._visit(place, key, kind, view, definition=view.definition, state=view.state)
        self.watch(number, saga_id, visit + 1)

    async def _visit(
        self, place: int, key: str, kind: str, view: SagaView, *, definition: Definition, state: SagaState
    ) -> None:
        draw, manner = self.net.mishaps.draw, self.net.mishaps.pick("operating", key)
        if kind in RETRIES and draw(f"fitting/{key}") < 0.7:
            kind = RETRIES[SagaStatus.COMPENSATING in {state.status, state.stuck_from}]
        kinds = [kind]
        if manner == "two_at_once":
            kinds.append(list(ACTIONS)[int(draw(f"other/{key}") * len(ACTIONS))])
        waiting = _waiting(state, self.net.database.now_us())
        seen = state.moved_seq - 1 if manner == "stale" else view.stored.last_seq
        actions = [
            self._action(each, f"{key}/{at}", definition, state, waiting=waiting, seen=seen)
            for at, each in enumerate(kinds)
        ]
        await self.net.loop.pause(draw(f"think/{key}") ** 4 * 2)
        if manner in {"crash_owner", "freeze_owner"}:
            for node in self.callers.nodes:
                if node.engine is not None and node.engine.has_run(view.stored.saga_id):
                    self.strike(node, manner.removesuffix("_owner"), key, STRIKE_WITHIN_S)
        for more, action in enumerate(actions[1:], 1):
            self.net.loop.create_task(self._act(place + more, action))
        await self._act(place, actions[0])

    def _action(
        self, kind: str, key: str, definition: Definition, state: SagaState, *, waiting: int | None, seen: int
    ) -> SagaAction:
        """Mostly one that makes sense; now and then for a step that it cannot be meant for, or without a response."""
        draw, step, response, index = self.net.mishaps.draw, None, None, waiting
        names = [each.name for each in definition.steps]
        if draw(f"named/{key}") < 0.3:
            index = int(draw(f"step/{key}") * len(names)) if index is None or draw(f"wrong/{key}") < 0.2 else index
            step = names[index]
        forward = SagaStatus.RUNNING in {state.status, state.stuck_from}
        if kind == "skip_step" and forward is (draw(f"response/{key}") < 0.9):
            message = definition.steps[index or 0].method.response()
            response = filled(message, "by hand").SerializeToString(deterministic=True)
        caller = f"operator {key[-1]}"
        return SagaAction(UUID(state.saga_id), ACTIONS[kind], caller, key, f"why {key}", seen, step, response)

    async def _look(self, place: int, saga_id: UUID) -> SagaView | None:
        async def ask(engine: Engine) -> SagaView | None:
            return await engine.view(saga_id)

        try:
            return await self.callers.ask(place, ask, None)
        except (NotAnswered, StoreUnavailable):
            return None

    async def _act(self, place: int, action: SagaAction) -> None:
        """Asks until it is told what became of it."""
        numbers: list[int] = []

        async def ask(engine: Engine) -> str | None:
            store = engine._store
            assert isinstance(store, SimulatedStore)
            numbers.append(await store.add_action(action))
            refusal = await engine.decided(action.saga_id, numbers[-1], 5.0)
            return None if refusal is None else refusal.reason

        what = f"{self.net.label(str(action.saga_id))} {action.action.name} at {action.expected_seq}"
        self.net.tell(action.caller, f"{what} {action.step or ''}")
        for tries in range(TRIES):
            if self.net.closed:
                return
            try:
                refusal = await self.callers.ask(place + tries, ask, None)
            except (SagaEnded, KeyError, TooManyRequests) as error:
                self.net.tell(action.caller, f"{what}: {error!r}")
                return
            except (NotAnswered, StoreUnavailable, TimeoutError, RequestReused):
                await self.net.loop.pause(0.5)
                continue
            self.net.tell(action.caller, f"{what}: {refusal or 'granted'}")
            saga_id, kind = str(action.saga_id), action.action.name.lower()
            self.told.append(Told(self.net.loop.time(), saga_id, numbers[-1], kind, refusal is None))
            return

    async def resume_all(self) -> None:
        """Until the run is over, resumes whatever is paused: or it need not end."""
        for turn in range(10_000):
            database = self.net.database
            paused = [saga for saga in database.sagas.values() if saga.row.paused_us is not None]
            for saga in paused if not self.net.closed else ():
                key = f"resume {saga.saga_id} {turn}"
                action = SagaAction(saga.saga_id, AuditAction.RESUME, "operator", key, "all is well", saga.last_seq)
                await self._act(turn, action)
            if self.net.closed:
                return
            await self.net.loop.pause(0.5)


def _waiting(state: SagaState, now_us: int) -> int | None:
    """The step that holds the saga up; None if none does."""
    stuck = stuck_step(state)
    if stuck is not None:
        return stuck
    return next((index for index, step in enumerate(state.steps) if waits(step, now_us)), None)
