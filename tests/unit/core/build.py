"""Small sagas for tests, written as a line per step, and a way to play them through the core."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.core import inputs as given
from orchestrator.core.backoff import CorePolicy
from orchestrator.core.definition import RetryPolicy, SagaSpec, StepKind, StepSpec
from orchestrator.core.effects import Effect, Invoke
from orchestrator.core.events import Event, Failure, Phase, SagaClaimed
from orchestrator.core.fold import fold, initial
from orchestrator.core.inputs import Input
from orchestrator.core.machine import Transition, advance
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaState, StepState
from orchestrator.engine.journal import decode, encode, step_names

SECOND: Final = 1_000_000
START_US: Final = 1_700_000_000 * SECOND
RETRY: Final = RetryPolicy(initial_backoff_s=1.0, max_backoff_s=8.0, max_attempts=3, budget_s=100.0)
POLICY: Final = CorePolicy(blocked_retry_s=15.0, max_stale_claims=5)
NO: Final = Failure(9, "OUT_OF_STOCK", "none left")

C: Final = StepKind.COMPENSATABLE
P: Final = StepKind.PIVOT
R: Final = StepKind.RETRIABLE
Q: Final = StepKind.READ_ONLY


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a test saga: ``after`` names its predecessors, which stand before it."""

    name: str
    kind: StepKind = C
    after: str = ""
    barrier: bool = True
    retry: RetryPolicy = RETRY


def saga(*nodes: Node, deadline_s: float = 600.0) -> SagaSpec:
    """The definition that the nodes draw."""
    names = [node.name for node in nodes]
    before = [tuple(names.index(name) for name in node.after.split()) for node in nodes]
    steps = tuple(
        StepSpec(
            name=node.name,
            kind=node.kind,
            predecessors=before[index],
            successors=tuple(after for after in range(len(nodes)) if index in before[after]),
            retry=node.retry,
            compensation_retry=node.retry,
            timeout_s=5.0,
            compensation_timeout_s=5.0,
            has_compensation=node.kind is C,
            has_barrier=node.barrier,
        )
        for index, node in enumerate(nodes)
    )
    pivot = next((index for index, node in enumerate(nodes) if node.kind is P), None)
    return SagaSpec("test", 1, b"digest", steps, deadline_s, pivot)


@dataclass(slots=True)
class Play:
    """A saga on its way, its journal, and what it asked for last. Every move proves that the journal explains it."""

    spec: SagaSpec
    saga_id: str = "0190-saga"
    epoch: int = 1
    now_us: int = START_US
    journal: list[tuple[Event, int, int]] = field(default_factory=list)
    events: Sequence[Event] = ()
    effects: Sequence[Effect] = ()
    policy: CorePolicy = POLICY
    state: SagaState = field(init=False)

    def __post_init__(self) -> None:
        self.state = initial(self.spec, self.saga_id)
        self.give(given.Begun(self.epoch, self.now_us + int(self.spec.deadline_s * SECOND)))

    def give(self, what: Input, *, after_s: float = 0.0) -> Transition:
        """Moves the saga ``after_s`` seconds later."""
        self.now_us += round(after_s * SECOND)
        moved = advance(self.spec, self.state, what, self.now_us, self.policy)
        self.state, self.events, self.effects = moved.state, moved.events, moved.effects
        self.journal += [(event, self.now_us, self.epoch) for event in moved.events]
        assert self.replay() == self.state, "the journal does not explain the state"
        return moved

    def index(self, name: str) -> int:
        return step_names(self.spec).index(name)

    def step(self, name: str) -> StepState:
        return self.state.steps[self.index(name)]

    def ends(
        self,
        name: str,
        outcome: Outcome = Outcome.SUCCESS,
        *,
        failure: Failure | None = None,
        retry_after_s: float | None = None,
        after_s: float = 0.0,
    ) -> Transition:
        """The attempt in flight of a step ends with ``outcome``."""
        step = self.step(name)
        assert step.in_flight is not None, f"{name} is not in flight"
        attempts = step.compensation_attempts if step.in_flight is Phase.COMPENSATION else step.attempts
        ended = given.AttemptEnded(
            step=self.index(name),
            phase=step.in_flight,
            attempt=attempts + 1,
            outcome=outcome,
            response=name.encode() if outcome is Outcome.SUCCESS else b"",
            failure=None if outcome is Outcome.SUCCESS else failure or NO,
            retry_after_us=None if retry_after_s is None else int(retry_after_s * SECOND),
        )
        return self.give(ended, after_s=after_s)

    def timer(self, name: str) -> Transition:
        """The step's timer comes due."""
        at_us = self.step(name).timer_us
        assert at_us is not None, f"{name} has no timer"
        return self.give(given.TimerFired(self.index(name)), after_s=max(0, at_us - self.now_us) / SECOND)

    def spend(self, name: str, outcome: Outcome = Outcome.UNKNOWN) -> Transition:
        """Lets attempts end with ``outcome`` until the attempt budget is spent."""
        retry = self.spec.steps[self.index(name)].retry
        for _ in range(retry.max_attempts - 1):
            self.ends(name, outcome)
            self.timer(name)
        return self.ends(name, outcome)

    def claim(self, *, incarnation: int = 0, after_s: float = 1.0, lost: int = 0) -> Transition:
        """The owner dies, with the last ``lost`` events if asked, and another node claims and resumes."""
        self.now_us += round(after_s * SECOND)
        del self.journal[len(self.journal) - lost :]
        self.epoch = max(self.epoch + 1, incarnation << 32)
        self.journal.append((SagaClaimed("node"), self.now_us, self.epoch))
        self.state = self.replay()
        return self.give(given.Resumed())

    def resume(self) -> Transition:
        """The owner drops what it knows, after a commit whose answer was lost, and resumes without a claim."""
        self.state = self.replay()
        return self.give(given.Resumed())

    def replay(self) -> SagaState:
        """The state that the stored form of the journal yields."""
        names = step_names(self.spec)
        state = initial(self.spec, self.saga_id)
        for event, at_us, epoch in self.journal:
            stored = decode(names, *encode(names, event))
            assert stored == event
            state = fold(self.spec, state, stored, at_us=at_us, epoch=epoch)
        return state

    def frozen(self) -> SagaState:
        """The state with what this node does about it, for comparing that a move changed nothing at all."""
        return replace(self.state)

    def asked(self) -> list[str]:
        """The effects of the last move, as words: ``a.action``, ``a.cancel``, ``a.timer``."""
        names = step_names(self.spec)
        words = {"SetTimer": "timer", "CancelAttempt": "cancel"}
        return [
            f"{names[effect.step]}."
            + (effect.phase.name.lower() if isinstance(effect, Invoke) else words[type(effect).__name__])
            for effect in self.effects
        ]

    def said(self) -> list[str]:
        """The events of the last move, as words: ``SagaStarted``, ``StepSucceeded a``."""
        names = step_names(self.spec)
        return [
            type(event).__name__ + (f" {names[step]}" if (step := getattr(event, "step", None)) is not None else "")
            for event in self.events
        ]
