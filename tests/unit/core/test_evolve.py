"""The fast copy of a state is the copy that ``dataclasses.replace`` makes."""

from dataclasses import fields, replace

import pytest

from orchestrator.core.events import Failure, Phase
from orchestrator.core.evolve import evolve_saga, evolve_step
from orchestrator.core.state import SagaState, SagaStatus, StepState, StepStatus

STEP = StepState(StepStatus.RUNNING, attempts=2, response=b"x", failure=Failure(1, "R", "m"), in_flight=Phase.ACTION)
SAGA = SagaState("id", SagaStatus.RUNNING, (STEP,), seq=4, epoch=7, failed_step=0)


def test_a_copy_has_every_field() -> None:
    pairs: list[tuple[StepState | SagaState, StepState | SagaState]] = [
        (STEP, evolve_step(STEP)),
        (SAGA, evolve_saga(SAGA)),
    ]
    for state, copy in pairs:
        assert copy is not state
        names = [field.name for field in fields(state)]
        assert [getattr(copy, name) for name in names] == [getattr(state, name) for name in names]


def test_changes_are_in_the_copy_alone() -> None:
    assert evolve_step(STEP, attempts=3, timer_us=9) == replace(STEP, attempts=3, timer_us=9)
    assert evolve_step(STEP, timer_us=9).timer_us == 9
    assert STEP.attempts == 2
    with pytest.raises(TypeError):
        evolve_saga(SAGA, attempt=1)
