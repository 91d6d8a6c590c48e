"""The short form: every class that is quick enough for every change, on one world, in an order drawn from the seed."""

import os
import random
import sys
from pathlib import Path

import pytest

from tests.chaos.run import CATALOGUE, Run
from tests.chaos.stage import FAULTS

SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)

pytestmark = pytest.mark.timeout(420)


def test_every_class_of_the_catalogue_has_a_scenario() -> None:
    assert set(FAULTS) == set(CATALOGUE)


async def test_the_quick_classes(tmp_path: Path) -> None:
    sys.stdout.write(f"seed {SEED}\n")
    run = Run(tmp_path, SEED, full=False)
    ok = await run.play()
    sys.stdout.write(run.report(0.0))
    assert ok, run.report(0.0)
