"""Every schedule of a small saga with up to two mishaps; ``make exhaust`` explores all lives, and deeper."""

import pytest

from orchestrator.engine.run import SagaRun
from tests.simulation.exhaustive import AT_CALL, AT_WRITE, LIVES, explore, transcript


@pytest.mark.parametrize(
    ("name", "depth", "end"),
    [
        ("pair", 2, "COMPLETED"),
        ("pair, charge rejected", 2, "COMPENSATED"),
        ("pivoted", 1, "COMPLETED"),
        ("pivoted, capture rejected", 1, "COMPENSATED"),
    ],
)
def test_no_schedule_breaks_an_invariant_or_changes_the_end(name: str, depth: int, end: str) -> None:
    found = explore(LIVES[name], depth=depth)
    assert not found.failures, "\n".join([str(found.failures[0]), *transcript(LIVES[name], found.failures[0][0])])
    assert found.ends == {end: found.schedules}
    assert found.schedules > 40**depth / 2
    wanted = {f"call:{kind}" for kind in AT_CALL} | {f"commit:{kind}" for kind in AT_WRITE}
    assert wanted <= set(found.kinds), "every mishap happened at some moment"


def test_effects_that_begin_too_early_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: SagaRun) -> None:
        while self._held and not self.dropped:
            for effect in self._held.popleft()[1]:
                self._host.carry_out(self, effect)

    monkeypatch.setattr(SagaRun, "release_effects", hasty)
    assert explore(LIVES["pair"], depth=1).failures
