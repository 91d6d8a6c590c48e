"""What must be true of a saga that came to an end, and of every participant, once nothing is on its way any more."""

from typing import Final

from orchestrator.core.definition import StepKind
from orchestrator.core.state import SagaState, SagaStatus, StepStatus
from tests.property.participants import Participants, require

NEVER_WITHOUT_FAILOVER: Final = frozenset({"SUPERSEDED", "STALE_EPOCH", "KEY_REUSED"})
"""Refusals of the barrier that mean a defect, unless a journal lost its end."""


def judge(state: SagaState, participants: Participants, *, lossy: bool) -> None:
    """Raises ``Violation`` if the end is not an honest one."""
    spec = participants.spec
    for index, (step, fact) in enumerate(zip(spec.steps, participants.facts, strict=True)):
        if step.kind is StepKind.READ_ONLY or (lossy and not step.has_barrier):
            continue  # without a barrier nothing refuses what a node from before the failover still sends
        status = state.steps[index].status
        if state.status is SagaStatus.COMPLETED and status is StepStatus.SKIPPED:
            bare = not step.has_barrier
            require(bare or not fact.in_effect, f"I3: COMPLETED, and step {index}, which was skipped, is in effect")
        elif state.status is SagaStatus.RESOLVED and step.has_barrier and state.by_hand.is_resolving:
            told = fact.in_effect == (status is StepStatus.SUCCEEDED)
            require(told, f"I3: RESOLVED, and step {index} is {status.name} with {fact.acts} done, {fact.undos} undone")
        elif state.status is SagaStatus.COMPLETED:
            done = fact.in_effect and (fact.acts == 1 or not step.has_barrier)
            require(done, f"I2: COMPLETED, and step {index} was done {fact.acts} and undone {fact.undos} times")
        elif state.status is SagaStatus.COMPENSATED:
            require(not fact.in_effect, f"I3: COMPENSATED, and step {index} is in effect")
    if state.status is SagaStatus.STUCK and not lossy:
        reason = state.failure.reason if state.failure else ""
        require(reason not in NEVER_WITHOUT_FAILOVER, f"I8: STUCK because of {reason}, which only a defect can cause")
