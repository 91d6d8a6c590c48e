"""Draws the state machine as it moves: ``python -m tests.unit.core.draw`` brings docs/state-machine.md up to date.

Small sagas are taken through every input that can come, from every state that they reach. What a picture shows has
therefore happened, and what has happened is shown.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from orchestrator.core import inputs as given
from orchestrator.core.backoff import CorePolicy
from orchestrator.core.definition import RetryPolicy, SagaSpec
from orchestrator.core.events import Event, Failure, Phase, SagaClaimed
from orchestrator.core.fold import fold, initial
from orchestrator.core.inputs import Input
from orchestrator.core.machine import TABLE, advance
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import TERMINAL, SagaState, SagaStatus
from tests.unit.core.build import NO, START_US, Node, P, Q, R, saga

PAGE: Final = Path(__file__).parents[3] / "docs" / "state-machine.md"
ONCE: Final = RetryPolicy(max_attempts=1)
IMPATIENT: Final = CorePolicy(max_stale_claims=2)
"""A small machine has few states: one attempt spends a budget, two claims are a crash loop."""
EPOCH_OF_FAILOVER: Final = 1 << 32

SPECS: Final = tuple(
    saga(*(Node(n.name, n.kind, n.after, n.barrier, ONCE) for n in nodes))
    for nodes in (
        (Node("a"), Node("b", after="a")),
        (Node("a"), Node("b")),
        (Node("a"), Node("n", barrier=False)),
        (Node("a"), Node("p", P, "a"), Node("r", R, "p")),
        (Node("a"), Node("p", P, "a", barrier=False)),
        (Node("q", Q), Node("b")),
    )
)

Edges = dict[tuple[str, str], set[str]]


@dataclass(slots=True)
class Pictures:
    """What was seen: from, to, and the names of what led there."""

    saga: Edges = field(default_factory=lambda: defaultdict(set))
    step: Edges = field(default_factory=lambda: defaultdict(set))

    def explore(self, spec: SagaSpec) -> None:
        """Takes the saga through everything that can come."""
        start = initial(spec, "saga")
        seen: set[object] = set()
        ahead = [self._move(spec, start, given.Begun(1, START_US + 1))]
        while ahead:
            state = ahead.pop()
            if (likeness := _likeness(state)) in seen:
                continue
            seen.add(likeness)
            ahead += [self._move(spec, state, what) for what in _inputs(state)]
            if state.status in {SagaStatus.RUNNING, SagaStatus.COMPENSATING}:
                ahead += [self._claim(spec, state, epoch) for epoch in (state.epoch + 1, EPOCH_OF_FAILOVER)]

    def _claim(self, spec: SagaSpec, state: SagaState, epoch: int) -> SagaState:
        claimed = self._fold(spec, state, SagaClaimed("node"), max(epoch, state.epoch))
        return self._move(spec, claimed, given.Resumed())

    def _move(self, spec: SagaSpec, state: SagaState, what: Input) -> SagaState:
        moved = advance(spec, state, what, START_US + 1, IMPATIENT)
        if moved.state.status is not state.status:
            self.saga[state.status.name, moved.state.status.name].add(type(what).__name__)
        between = state
        for event in moved.events:
            between = self._fold(spec, between, event, moved.state.epoch)
        return moved.state

    def _fold(self, spec: SagaSpec, state: SagaState, event: Event, epoch: int) -> SagaState:
        after = fold(spec, state, event, at_us=START_US + 1, epoch=epoch)
        for before_step, after_step in zip(state.steps, after.steps, strict=True):
            if before_step.status is not after_step.status:
                self.step[before_step.status.name, after_step.status.name].add(type(event).__name__)
        return after


def _likeness(state: SagaState) -> object:
    """What tells states apart, as far as the pictures go."""
    steps = tuple((s.status, s.in_flight, s.timer_us is None, s.had_unknown) for s in state.steps)
    by_hand = state.by_hand
    hand = by_hand.paused_us > 0, by_hand.is_resolving, by_hand.leaves_effects, bool(by_hand.skips)
    return state.status, steps, state.unsure, state.deadline_noted, state.stale_claims, hand


def _inputs(state: SagaState) -> Iterator[Input]:
    """Everything that the engine could say now. A deadline has passed; timers are due."""
    if state.status is not SagaStatus.STUCK and not state.is_terminal:
        yield given.DeadlineReached()
    yield given.CancelRequested(1)
    yield from _operators(state)
    for index, step in enumerate(state.steps):
        if step.timer_us is not None:
            yield given.TimerFired(index)
            if step.blocked is not None:
                yield given.StepUnblocked(index)
        if step.in_flight is None:
            continue
        attempts = step.compensation_attempts if step.in_flight is Phase.COMPENSATION else step.attempts
        for outcome in Outcome:
            yield given.AttemptEnded(index, step.in_flight, attempts + 1, outcome, b"", NO)
        yield given.BuildFailed(index, step.in_flight, Failure(0, "BUILDER_FAILED", ""))
        if step.in_flight is Phase.SETTLE:
            for done, undone in [(True, False), (False, False), (False, True)]:
                yield given.StepSettled(index, done, undone, b"")
        if state.status is not SagaStatus.RUNNING:
            yield given.AttemptCancelled(index, step.in_flight)


def _operators(state: SagaState) -> Iterator[Input]:
    """What operators could ask for; most of it comes after a claim, with nothing in flight."""
    if not any(step.in_flight for step in state.steps):
        for action in given.OperatorAction:
            for response in (None, b""):
                yield given.OperatorRequested(1, action, state.moved_seq, None, response)


def _diagram(edges: Edges, ends: list[str]) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> PENDING"]
    lines += [f"    {one} --> {other}: {', '.join(sorted(edges[one, other]))}" for one, other in sorted(edges)]
    lines += [f"    {end} --> [*]" for end in ends]
    return [*lines, "```"]


def _table() -> list[str]:
    lines = ["| input | " + " | ".join(status.name for status in SagaStatus) + " |"]
    lines.append("|---" * (len(SagaStatus) + 1) + "|")
    for kind in get_args(Input):
        handlers = [TABLE.get((status, kind)) for status in SagaStatus]
        cells = [handler.__name__.strip("_").replace("_", " ") if handler else "-" for handler in handlers]
        lines.append(f"| {kind.__name__} | " + " | ".join(cells) + " |")
    return lines


def sections() -> dict[str, list[str]]:
    """The drawn parts of the page, by the name in their markers."""
    pictures = Pictures()
    for spec in SPECS:
        pictures.explore(spec)
    reached = {other for _, other in pictures.saga}
    ends = sorted(status.name for status in TERMINAL if status.name in reached)
    return {"saga": _diagram(pictures.saga, ends), "step": _diagram(pictures.step, []), "table": _table()}


def drawn(page: str) -> str:
    """The page with its drawn parts anew. Raises ``ValueError`` if it lacks the markers of one."""
    for name, lines in sections().items():
        begin, end = f"<!-- drawn: {name} -->\n", "<!-- end -->"
        before, rest = page[: page.index(begin) + len(begin)], page[page.index(begin) + len(begin) :]
        page = before + "\n".join(lines) + "\n" + rest[rest.index(end) :]
    return page


if __name__ == "__main__":
    current = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(drawn(current), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
