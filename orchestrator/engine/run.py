"""A saga in this node's memory: feeds the core, and holds each effect back until what it depends on is durable."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from google.protobuf.message import Message

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.effects import Effect
from orchestrator.core.events import Event, RequestConsumed
from orchestrator.core.inputs import Input, TimerFired
from orchestrator.core.machine import advance
from orchestrator.core.state import SagaState, SagaStatus, hindered_step
from orchestrator.definitions.model import Definition
from orchestrator.engine.journal import encode, step_names
from orchestrator.engine.stored import Checkpoint, JournalEntry, NewSaga, RowState
from orchestrator.engine.tracing import TraceContext

FOREVER_US = 1 << 62
"""Later than any time: a saga parked until then waits for a request."""
MAX_FAILURE_CHARS = 1000
"""Of a failure's message, in the row and in the journal: it comes from a participant and has no other bound."""
ENTRY_BYTES = 64
"""What an entry of the journal takes beside its attributes."""
WAY_BACK = 2
"""How many times its bound a saga may hold before it gives up undoing: the way back needs room of its own."""


class RunHost(Protocol):
    """What a run asks of the engine."""

    def now_us(self) -> int: ...
    def carry_out(self, run: "SagaRun", effect: Effect) -> None: ...
    def mark_dirty(self, run: "SagaRun") -> None: ...
    def happened(self, run: "SagaRun", event: Event, at_us: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """What a new saga's row holds beside its state."""

    definition_id: int
    caller: str
    request_id: str
    request_hash: bytes
    concurrency_key: str | None
    input: bytes
    tenant: str = ""


class SagaRun:
    """One saga. At any time at most one item of it is in a batch; what happens meanwhile gathers for the next."""

    def __init__(
        self,
        host: RunHost,
        definition: Definition,
        state: SagaState,
        saga_input: Message,
        *,
        epoch: int,
        policy: CorePolicy,
        trace: TraceContext,
        size: int,
        origin: Origin | None = None,
        tenant: str = "",
    ) -> None:
        """``size``: bytes of its input and of the journal that led to ``state``."""
        self.saga_id = UUID(state.saga_id)
        self.definition = definition
        self.names = step_names(definition.spec)
        self.state = state
        self.input = saga_input
        self.epoch = epoch
        self.trace = trace
        self.tenant = tenant if origin is None else origin.tenant
        self.size = size
        """Bytes of its input and its journal."""
        self.durable_seq = state.seq
        self.resumed_seq = state.seq
        self.durable_status = state.status
        self.is_paused = bool(state.by_hand.paused_us)
        """As far as that is durable."""
        self.attempts: dict[int, asyncio.Task[None]] = {}
        self.timers: dict[int, asyncio.TimerHandle] = {}
        self.deadline_timer: asyncio.TimerHandle | None = None
        self.dropped = False
        self.was_refused = False
        """The store refused an item: another history of the saga, or another saga in its place, is there."""
        self.is_uncertain = False
        """An unanswered commit of the refused item may still land."""
        self.error: ValueError | None = None
        """Why the store can never take the item that it refused."""
        self.started: asyncio.Future[bool] | None = None
        """Resolved once the first item of a new saga is written (True) or refused (False)."""
        self.is_wanted = False
        """It is let go in order to be claimed at once, under a higher epoch."""
        self.seen_requests: set[int] = set()
        """Numbers of requests that were fed already."""
        self._host = host
        self._policy = policy
        self._origin = origin
        self._pending: list[JournalEntry] = []
        self._consumed: list[int] = []
        self._held: deque[tuple[int, tuple[Effect, ...]]] = deque()
        self._in_batch: NewSaga | Checkpoint | None = None
        self._parked_until_us: int | None = None
        self._responses: list[Message | None] = [None] * len(state.steps)
        self._parsed: dict[int, tuple[bytes, Message]] = {}

    def tags(self, step: int | None = None) -> dict[str, str]:
        """What a log line about the saga, or one of its steps, names it by."""
        tags = {"saga_id": str(self.saga_id), "trace_id": self.trace.trace_id}
        if step is not None:
            tags["step"] = self.names[step]
        return tags

    # ---- the core ----

    def feed(self, given: Input) -> None:
        """Advances the saga. Raises ``ImpossibleInputError`` and whatever else is a defect of the program."""
        if self.dropped or self._parked_until_us is not None:
            return
        now_us = self._host.now_us()
        move = advance(self.definition.spec, self.state, given, now_us, self._policy_now())
        seq = self.state.seq
        for event in move.events:
            seq += 1
            kind, attributes = encode(self.names, event)
            self.size += len(attributes) + ENTRY_BYTES
            self._pending.append(JournalEntry(seq, kind, attributes, now_us))
            if isinstance(event, RequestConsumed):
                self._consumed.append(event.number)
            if self.trace.sampled:
                self._host.happened(self, event, now_us)
        self.state = move.state
        if move.effects:
            self._held.append((self.state.seq, move.effects))
        if move.events:
            self._host.mark_dirty(self)
        self.release_effects()

    @property
    def max_bytes(self) -> int:
        """How large the saga may grow."""
        return self._policy.max_saga_bytes

    def has_room_for(self, response: bytes) -> bool:
        """Whether the saga may hold a response as well."""
        return self.size + len(response) <= self._policy.max_saga_bytes

    def _policy_now(self) -> CorePolicy:
        bound = self._policy.max_saga_bytes * (1 if self.state.status is SagaStatus.RUNNING else WAY_BACK)
        return self._policy if self.size < bound else replace(self._policy, is_full=True)

    def responses(self) -> list[Message | None]:
        """Each step's parsed response. Raises ``PayloadError``."""
        for index, step in enumerate(self.state.steps):
            if step.response is not None and self._responses[index] is None:
                known = self._parsed.get(index)
                if known is None or known[0] != step.response:
                    known = step.response, self.definition.parse_response(index, step.response)
                self._responses[index] = known[1]
        return self._responses

    def remember_parsed(self, index: int, data: bytes, response: Message) -> None:
        """Spares parsing a response again that was parsed to check it. It counts only if the journal comes to hold it:
        a request is a function of the input and the journal alone.
        """
        self._parsed[index] = data, response

    def release_effects(self) -> None:
        """Carries out, in order, the effects whose events are durable."""
        while self._held and self._held[0][0] <= self.durable_seq and not self.dropped:
            _, effects = self._held.popleft()
            for effect in effects:
                self._host.carry_out(self, effect)

    # ---- the writer ----

    @property
    def is_new(self) -> bool:
        """Not stored yet, as far as is known."""
        return self._origin is not None

    def has_item(self) -> bool:
        """Whether there is something to write that is in no batch yet."""
        return not self.dropped and self._in_batch is None and bool(self._pending or self._parked_until_us is not None)

    def take_item(self) -> NewSaga | Checkpoint:
        """The next item for a batch. Until :meth:`written` or :meth:`dropped`, there is no other."""
        entries, consumed = tuple(self._pending), tuple(self._consumed)
        self._pending.clear()
        self._consumed.clear()
        row = row_state(self.state, self.names)
        if self._origin is not None:
            origin = self._origin
            self._in_batch = NewSaga(
                self.saga_id,
                origin.definition_id,
                origin.caller,
                origin.request_id,
                origin.request_hash,
                origin.concurrency_key,
                origin.input,
                self.epoch,
                row,
                entries,
                origin.tenant,
            )
        else:
            ends = self.state.is_terminal or self.state.status is SagaStatus.STUCK
            self._in_batch = Checkpoint(
                self.saga_id,
                self.epoch,
                self.state.seq,
                row,
                entries,
                release=ends or self._parked_until_us is not None,
                wake_at_us=None if ends or self._parked_until_us == FOREVER_US else self._parked_until_us,
                consumed_requests=consumed,
            )
        return self._in_batch

    def written(self) -> bool:
        """The item in the batch is durable. Returns whether the node has let go of the saga with it."""
        item = self._in_batch
        assert item is not None, "written() follows take_item()"
        self._in_batch = None
        self._origin = None
        self.durable_status = item.row.status
        self.is_paused = item.row.paused_us is not None
        if item.entries:
            self.durable_seq = item.entries[-1].seq
        if self.started is not None and not self.started.done():
            self.started.set_result(True)
        if isinstance(item, Checkpoint) and item.release:
            return True
        self.release_effects()
        return False

    # ---- timers ----

    def set_timer(self, index: int, delay_s: float, fire: Callable[["SagaRun", TimerFired], None]) -> None:
        """Replaces the step's timer."""
        old = self.timers.pop(index, None)
        if old is not None:
            old.cancel()
        loop = asyncio.get_running_loop()
        self.timers[index] = loop.call_later(delay_s, self._fire, index, fire)

    def _fire(self, index: int, fire: Callable[["SagaRun", TimerFired], None]) -> None:
        self.timers.pop(index, None)
        fire(self, TimerFired(index))

    # ---- leaving memory ----

    def park(self, until_us: int) -> None:
        """Lets go of the saga until it is due: nothing is under way, and the wait is long."""
        self._parked_until_us = until_us
        self._host.mark_dirty(self)

    def stay(self) -> None:
        """Takes :meth:`park` back, unless the release is on its way: there is something to do after all."""
        if self._in_batch is None:
            self._parked_until_us = None

    @property
    def is_parked(self) -> bool:
        """Whether it is on its way out of memory: what happens now is for the next owner."""
        return self._parked_until_us is not None

    def due_us(self) -> int | None:
        """When the saga next does something by itself, if it is only waiting; None if something is under way."""
        if self._pending or self._held or self._in_batch or self.attempts or self.state.is_terminal:
            return None
        times = [step.timer_us for step in self.state.steps if step.timer_us is not None]
        if any(step.in_flight for step in self.state.steps):
            return None
        if not times:
            return FOREVER_US if self.state.by_hand.paused_us else None
        if self.state.status is SagaStatus.RUNNING and not self.state.deadline_noted:
            times.append(self.state.deadline_us)
        return min(times)

    def drop(self) -> None:
        """Forgets the saga: cancels its attempts and timers. What the store holds is untouched."""
        self.dropped = True
        self._held.clear()
        self._pending.clear()
        for task in self.attempts.values():
            task.cancel()
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        if self.deadline_timer is not None:
            self.deadline_timer.cancel()
        if self.started is not None and not self.started.done():
            self.started.set_result(False)


def row_state(state: SagaState, names: tuple[str, ...]) -> RowState:
    """The columns of the saga's row."""
    failure = state.failure
    ended = state.is_terminal or state.status is SagaStatus.STUCK
    index = None if ended else hindered_step(state)
    step = None if index is None else state.steps[index]
    blocked = None if step is None else step.blocked
    waits_for = blocked or (step.failure if step else None)
    return RowState(
        state.status,
        state.deadline_us,
        None if state.failed_step is None else names[state.failed_step],
        failure.code if failure else 0,
        failure.reason if failure else None,
        failure.message if failure else None,
        f"{blocked.reason}: {blocked.message}" if blocked else None,
        None if index is None else names[index],
        waits_for.reason if waits_for else None,
        step.budget_from_us if step and blocked else None,
        state.by_hand.paused_us or None,
    )
