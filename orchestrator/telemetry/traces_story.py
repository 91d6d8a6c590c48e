"""What happened to one traced saga, as far as its spans tell of it: heard as it happens, or read off the journal."""

from dataclasses import dataclass, field
from typing import Final

from opentelemetry.sdk.trace import Event as SpanEvent

from orchestrator.core import events as ev
from orchestrator.core.events import Event, Phase
from orchestrator.core.state import StepState

MAX_EVENTS: Final = 64
"""Of one saga's span; further ones are counted."""
PAUSE: Final = -1
"""Stands for the whole saga where a step is named."""
_HALTING: Final = (ev.SagaCompleted, ev.SagaCompensated, ev.SagaResolved, ev.SagaStuck)
_ENDING_WAITS: Final = (*_HALTING, ev.CompensationStarted)
_ENDING_A_WAIT: Final = (ev.StepSucceeded, ev.StepRejected, ev.StepUnknown, ev.StepCompensated, ev.StepSettled)
_NOTED: Final[dict[type, str]] = {
    ev.SagaClaimed: "saga.resumed",
    ev.CompensationStarted: "saga.compensation_started",
    ev.SagaStuck: "saga.stuck",
    ev.RequestConsumed: "saga.request",
    ev.DeadlinePassed: "saga.deadline_passed",
    ev.SagaPaused: "saga.paused",
    ev.SagaUnpaused: "saga.unpaused",
    ev.StepRetried: "saga.step_retried",
    ev.StepSkipped: "saga.step_skipped",
    ev.ResolutionBegun: "saga.resolution_begun",
}
"""Events of the saga that its span tells as its own."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A step waits for its next attempt, ``backoff`` or ``blocked``; or the saga is ``paused``. Database time."""

    kind: str
    step: int
    began_us: int
    reason: str = ""


@dataclass(slots=True)
class Story:
    """One saga, in one memory."""

    names: tuple[str, ...]
    began_us: int = 0
    """When it was started, or went on after it had been stuck."""
    went_on: bool = False
    """It was stuck before: its first span has been told."""
    halted: bool = False
    """It ended or got stuck here."""
    events: list[SpanEvent] = field(default_factory=list)
    left_out: int = 0
    waits: dict[int, Wait] = field(default_factory=dict)
    dead_epochs: list[int] = field(default_factory=list)
    """Under which owners died, one after the other, that had done nothing that is known."""
    again: dict[int, Phase] = field(default_factory=dict)
    """Calls that a dead owner may have had under way, by step: they are made again."""
    _epoch: int = 0
    _intended: set[int] = field(default_factory=set)
    _was_stuck: bool = False

    def recall(self, event: Event, at_us: int, epoch: int) -> None:
        """From the journal: what was over then was told then."""
        if isinstance(event, ev.SagaClaimed):
            if event.crashed:
                self.dead_epochs.append(self._epoch)
            else:
                self.dead_epochs.clear()  # the owner had let go of it, and of every call
        else:
            self.dead_epochs.clear()
        self._epoch = epoch
        if isinstance(event, ev.StepBlocked):
            self.waits.pop(event.step, None)
        self.hear(event, at_us, epoch)
        if isinstance(event, ev.SagaStuck):
            self._was_stuck, self.halted = True, False
            self.events.clear()
            self.left_out = 0

    def hear(self, event: Event, at_us: int, epoch: int) -> list[Wait]:
        """The event just happened; returns the waits that are over with it."""
        if isinstance(event, ev.SagaStarted):
            self.began_us = at_us
        elif self._was_stuck and not isinstance(event, ev.SagaClaimed | ev.RequestConsumed):
            self.began_us, self.went_on, self._was_stuck = at_us, True, False
        elif isinstance(event, ev.StepIntended):
            self._intended.add(event.step)
        self.halted = self.halted or isinstance(event, _HALTING)
        self._note(event, at_us, epoch)
        return self._turn(event, at_us)

    def resumed(self, steps: tuple[StepState, ...]) -> None:
        """The saga goes on here: what is called now and was not intended just now may have been called before."""
        if self.dead_epochs:
            self.again = {
                index: step.in_flight
                for index, step in enumerate(steps)
                if step.in_flight is not None and index not in self._intended
            }

    def _turn(self, event: Event, at_us: int) -> list[Wait]:
        """Begins and ends waits."""
        if isinstance(event, _ENDING_WAITS):
            over = [*self.waits.values()]
            self.waits.clear()
            return over
        if isinstance(event, ev.AttemptFailed):
            return self._begin(Wait("backoff", event.step, at_us, event.failure.reason))
        if isinstance(event, ev.StepBlocked):
            known = self.waits.get(event.step)
            if known is not None and known.kind == "blocked":
                return []  # still
            return self._begin(Wait("blocked", event.step, at_us, event.failure.reason))
        if isinstance(event, ev.SagaPaused):
            return self._begin(Wait("paused", PAUSE, at_us))
        ended = PAUSE if isinstance(event, ev.SagaUnpaused) else None
        if isinstance(event, _ENDING_A_WAIT):
            ended = event.step
        wait = None if ended is None else self.waits.pop(ended, None)
        return [] if wait is None else [wait]

    def _begin(self, wait: Wait) -> list[Wait]:
        before = self.waits.get(wait.step)
        self.waits[wait.step] = wait
        return [] if before is None else [before]

    def _note(self, event: Event, at_us: int, epoch: int) -> None:
        """What the saga's span tells as an event."""
        name = _NOTED.get(type(event))
        if name is None:
            return
        attributes: dict[str, str | int | bool] = {}
        match event:
            case ev.SagaClaimed(node_id, crashed):
                attributes = {"saga.node_id": node_id, "saga.epoch": epoch, "saga.crashed": crashed}
            case ev.CompensationStarted(cause=cause, failure=failure):
                attributes = {"saga.cause": cause.name.lower(), "saga.failure.reason": failure.reason}
            case ev.SagaStuck(failure=failure):
                attributes = {"saga.failure.reason": failure.reason}
            case ev.RequestConsumed(kind=kind, refusal=refusal):
                attributes = {"saga.request.kind": kind, "saga.request.refused": refusal is not None}
        step = getattr(event, "step", None)
        if step is not None:
            attributes["saga.step"] = self.names[step]
        if len(self.events) < MAX_EVENTS:
            self.events.append(SpanEvent(name, attributes, at_us * 1000))
        else:
            self.left_out += 1
