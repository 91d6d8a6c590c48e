"""A saga claimed under a raised incarnation: its journal may lack its end, so every step may have run."""

from orchestrator.core.inputs import CancelRequested, OperatorAction, OperatorRequested, StepSettled
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus
from tests.unit.core.build import Node, P, Play, R, saga

LINE = (Node("a"), Node("b", after="a"), Node("c", after="b"))


def test_successes_are_called_again_in_order_under_their_keys() -> None:
    play = Play(saga(*LINE))
    play.ends("a")
    play.ends("b")
    play.claim(incarnation=1)
    assert play.state.unsure
    for name in ("a", "b", "c"):
        assert play.asked() == [f"{name}.action"]
        play.ends(name)
    assert play.state.status is SagaStatus.COMPLETED


def test_a_plain_claim_doubts_nothing() -> None:
    play = Play(saga(*LINE))
    play.ends("a")
    play.claim()
    assert not play.state.unsure
    assert play.asked() == ["b.action"]


def test_superseded_means_already_undone_so_everything_is_undone() -> None:
    play = Play(saga(*LINE))
    for name in ("a", "b"):
        play.ends(name)
    play.claim(incarnation=1)
    play.ends("a", Outcome.SUPERSEDED)
    # b and c may have run in the end of the journal that was lost; their undo leaves a tombstone if they did not.
    assert (play.said(), play.asked()) == (["CompensationStarted a"], ["c.compensation"])
    for name in ("c", "b", "a"):
        play.ends(name)
    assert play.state.status is SagaStatus.COMPENSATED


def test_superseded_without_a_failover_is_a_defect_somewhere() -> None:
    play = Play(saga(*LINE))
    play.ends("a", Outcome.SUPERSEDED)
    assert play.said() == ["SagaStuck a"]


def test_the_pivot_counts_as_past() -> None:
    play = Play(saga(Node("a"), Node("p", P, "a")))
    play.claim(incarnation=1)
    play.give(CancelRequested(1))
    assert play.state.status is SagaStatus.RUNNING
    play.ends("a", Outcome.REJECTED)
    assert play.said() == ["StepRejected a", "SagaStuck a"]


def superseded_before_its_pivot() -> Play:
    play = Play(saga(Node("a"), Node("p", P, "a")))
    play.claim(incarnation=1)
    play.ends("a", Outcome.SUPERSEDED)
    # The saga had turned around; or an operator had the step skipped, and the saga went on past its pivot.
    assert (play.said(), play.asked()) == (["CompensationStarted a"], ["p.settle"])
    return play


def test_a_superseded_compensatable_step_is_undone_once_the_pivot_is_known_not_to_be_past() -> None:
    play = superseded_before_its_pivot()
    play.give(StepSettled(1, done=False, undone=False, response=b""))
    assert play.asked() == ["a.compensation"]
    play.ends("a")
    assert play.state.status is SagaStatus.COMPENSATED
    assert [step.status.name for step in play.state.steps] == ["COMPENSATED", "SKIPPED"]


def test_a_superseded_compensatable_step_leaves_an_operator_to_decide_if_the_pivot_is_past() -> None:
    play = superseded_before_its_pivot()
    play.give(StepSettled(1, done=True, undone=False, response=b"paid"))
    assert (play.said(), play.asked()) == (["SagaStuck p"], [])
    assert play.state.failure is not None
    assert play.state.failure.reason == "PIVOT_DONE"
    play.claim()
    play.give(OperatorRequested(1, OperatorAction.SKIP_STEP, play.state.seq))
    assert play.asked() == ["p.settle"]
    play.give(StepSettled(1, done=True, undone=False, response=b"paid"))
    assert play.asked() == ["a.compensation"], "the pivot's effect stays"
    play.ends("a")
    assert play.state.status is SagaStatus.RESOLVED, "nothing is called compensated that is not"


def test_a_superseded_pivot_never_took_effect() -> None:
    play = Play(saga(Node("a"), Node("p", P, "a")))
    play.ends("a")
    play.claim(incarnation=1)
    play.ends("a")
    play.ends("p", Outcome.SUPERSEDED)
    assert play.asked() == ["a.compensation"]


def test_a_superseded_retriable_step_does_not_turn_a_saga_around_whose_pivot_is_done() -> None:
    play = Play(saga(Node("a"), Node("p", P, "a"), Node("r", R, "p")))
    for name in ("a", "p"):
        play.ends(name)
    play.claim(incarnation=1)
    for name in ("a", "p"):
        play.ends(name)
    play.ends("r", Outcome.SUPERSEDED)
    assert play.said() == ["SagaStuck r"]


def test_without_a_barrier_nobody_can_say_whether_a_lost_call_took_effect() -> None:
    play = Play(saga(Node("a"), Node("n", after="a", barrier=False)))
    play.ends("a")
    play.claim(incarnation=1, lost=1)
    play.ends("a", Outcome.SUPERSEDED)
    assert play.state.status is SagaStatus.STUCK, "n may have run in the part of the journal that was lost"
    assert play.said() == ["CompensationStarted a", "StepUnknown n", "SagaStuck n"]


def test_without_a_barrier_a_rejection_after_a_lost_call_proves_nothing() -> None:
    play = Play(saga(Node("a"), Node("n", after="a", barrier=False)))
    play.ends("a")
    play.claim(incarnation=1, lost=1)
    play.ends("a")
    play.ends("n", Outcome.REJECTED)
    assert play.said() == ["StepUnknown n", "SagaStuck n"]


def test_the_way_back_goes_on_as_it_was() -> None:
    play = Play(saga(*LINE))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    play.claim(incarnation=1)
    assert not play.state.unsure
    assert play.asked() == ["a.compensation"]
