"""The benchmark itself: what needs no environment of its own runs for a moment, and its ends are checked."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from benchmarks.bench import Bench, running
from benchmarks.measure import Length, Turn, measure
from benchmarks.scenarios import Contender, Feature, Scenario, Site

BRIEF = Length(seconds=0.5, warm_up_s=0.1)
NUMBERS = count()
HALF_REFUSED = [
    Scenario(Site.TRIVIAL, 8, contender, refused=0.5)
    for contender in (Contender.BARE, Contender.ENGINE, Contender.HAND_WRITTEN)
]
FEATURES = [
    Scenario(Site.TRIVIAL, 8, Contender.ENGINE, feature=feature) for feature in Feature if feature is not Feature.NONE
]


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    directory: Path = tmp_path_factory.mktemp("bench")
    async with running(directory, with_real=False) as found:
        yield found


@pytest.mark.parametrize("scenario", [*HALF_REFUSED, *FEATURES], ids=str)
async def test_every_end_is_one_that_the_participants_confirm(bench: Bench, scenario: Scenario) -> None:
    """``measure`` raises if they count something else."""
    found = await measure(bench, scenario, Turn(0, next(NUMBERS), 7), BRIEF)
    assert found.window.sagas > 0
