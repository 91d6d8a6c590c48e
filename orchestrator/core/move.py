"""One transition while it is being worked out: what is recorded so far, and what is asked of the engine."""

from dataclasses import dataclass

from orchestrator.core import events as ev
from orchestrator.core.backoff import CorePolicy
from orchestrator.core.definition import SagaSpec
from orchestrator.core.effects import CancelAttempt, Effect, Invoke, SetTimer
from orchestrator.core.events import Event, Failure, Phase
from orchestrator.core.evolve import evolve_saga, evolve_step
from orchestrator.core.fold import fold
from orchestrator.core.graph import can_be_cut_short
from orchestrator.core.state import SagaState, StepState


@dataclass(slots=True)
class Move:
    """Collects a transition. It lives inside one call of ``advance`` and is never seen outside."""

    spec: SagaSpec
    state: SagaState
    now_us: int
    policy: CorePolicy
    epoch: int
    events: list[Event]
    effects: list[Effect]

    def record(self, event: Event) -> None:
        """Takes an event into the state and the journal."""
        self.state = fold(self.spec, self.state, event, at_us=self.now_us, epoch=self.epoch)
        self.events.append(event)

    def touch(self, index: int, *, in_flight: Phase | None, timer_us: int | None) -> None:
        """Notes what this node is doing about a step."""
        step = evolve_step(self.state.steps[index], in_flight=in_flight, timer_us=timer_us)
        steps = self.state.steps
        self.state = evolve_saga(self.state, steps=(*steps[:index], step, *steps[index + 1 :]))

    def issue(self, index: int, phase: Phase) -> None:
        """Calls the step's participant now, or sets the timer for when it is due."""
        step = self.state.steps[index]
        if step.next_attempt_us > self.now_us and step.timer_us is None:
            self.wait(index, step.next_attempt_us)
            return
        attempt = step.compensation_attempts if phase is Phase.COMPENSATION else step.attempts
        self.touch(index, in_flight=phase, timer_us=None)
        self.effects.append(Invoke(index, phase, attempt + 1))

    def wait(self, index: int, at_us: int) -> None:
        """Sets the step's timer."""
        self.touch(index, in_flight=None, timer_us=at_us)
        self.effects.append(SetTimer(index, at_us))

    def is_idle(self, step: StepState) -> bool:
        """Whether this node is doing nothing about the step."""
        return step.in_flight is None and step.timer_us is None

    def turn_around(self, cause: ev.CompensationCause, step: int | None, failure: Failure) -> None:
        """Starts the way back, and cuts short what is under way and will be undone whatever its end."""
        self.record(ev.CompensationStarted(cause, step, failure))
        self._cancel(only_safe=True)

    def get_stuck(self, step: int | None, phase: Phase, failure: Failure, attempt: int = 0) -> None:
        """Stops the saga until an operator moves it, and cuts short what runs in parallel.

        ``attempt`` is the one whose end this is, unless an event tells of it already.
        """
        self.record(ev.SagaStuck(step, phase, failure, attempt))
        self._cancel(only_safe=False)

    def _cancel(self, *, only_safe: bool) -> None:
        for index, step in enumerate(self.state.steps):
            if step.in_flight is not None and (not only_safe or can_be_cut_short(self.spec.steps[index])):
                self.effects.append(CancelAttempt(index, step.in_flight))
