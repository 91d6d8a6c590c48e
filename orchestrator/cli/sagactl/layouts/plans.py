"""What an action does, or would do."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text
from saga.v1 import operator_pb2, saga_pb2

from orchestrator.cli.sagactl.layouts.tables import bullet, table
from orchestrator.cli.sagactl.words import word

PHASES = saga_pb2.Phase.DESCRIPTOR
STATES = saga_pb2.SagaState.DESCRIPTOR


def failure_text(failure: saga_pb2.Failure) -> str:
    """Reason and message of a failure; empty if there is none."""
    return ": ".join(part for part in (failure.reason, failure.message) if part)


def plan(plan: operator_pb2.ActionPlan) -> Iterator[RenderableType]:
    """The whole plan: every call, and what must be known before confirming."""
    if not plan.allowed:
        yield Text(f"It cannot be done: {failure_text(plan.refusal) or plan.summary}", "red")
        return
    yield Text(plan.summary)
    if plan.calls:
        yield table(
            ("#", "STEP", "CALL", "METHOD", "ATTEMPT#", "WHEN"),
            (
                (
                    str(number),
                    call.step,
                    word(PHASES, call.phase).lower(),
                    call.method,
                    call.attempt,
                    "if all before succeed" if call.follows else "at once",
                )
                for number, call in enumerate(plan.calls, 1)
            ),
        )
    else:
        yield Text("No call is made.")
    yield from ends(plan)
    for warning in plan.warnings:
        yield bullet(f"Warning: {warning}", "yellow")


def ends(plan: operator_pb2.ActionPlan) -> Iterator[RenderableType]:
    """Where it leads, as far as the plan knows."""
    after, end = word(STATES, plan.state_after), word(STATES, plan.expected_end)
    if after:
        yield Text(f"Right after it the saga is {after}" + (f"; if all goes well it ends {end}." if end else "."))


def short(plan: operator_pb2.ActionPlan) -> str:
    """The plan in one line."""
    if not plan.allowed:
        return f"refused: {failure_text(plan.refusal) or plan.summary}"
    at_once = [f"{call.step} {word(PHASES, call.phase).lower()}" for call in plan.calls if not call.follows]
    return plan.summary + (f" [calls {', '.join(at_once)}]" if at_once else "")
