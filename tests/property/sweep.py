"""Many runs from numbered seeds, and what came of them."""

import random
from collections import Counter
from collections.abc import Iterable

from tests.property.graphs import draw_spec
from tests.property.participants import Bugs
from tests.property.tape import Tape
from tests.property.world import World

NO_BUGS = Bugs()


def world_of(
    seed: int, *, bugs: Bugs = NO_BUGS, lossy: bool = False, operated: bool = False, barriers_only: bool = False
) -> World:
    """The world that a seed stands for."""
    source = random.Random(seed)
    spec = draw_spec(Tape(source.randbytes(80)), barriers_only=barriers_only)
    return World(spec, Tape(source.randbytes(source.randrange(300))), bugs=bugs, lossy=lossy, operated=operated)


def sweep(
    seeds: Iterable[int],
    *,
    bugs: Bugs = NO_BUGS,
    lossy: bool = False,
    operated: bool = False,
    barriers_only: bool = False,
) -> Counter[str]:
    """Runs every seed's world; returns how often each end and each fault occurred. Raises ``Violation``, seed noted."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        world = world_of(seed, bugs=bugs, lossy=lossy, operated=operated, barriers_only=barriers_only)
        try:
            status = world.run()
        except AssertionError as error:
            error.add_note(f"seed {seed}, lossy={lossy}, operated={operated}, barriers_only={barriers_only}, {bugs}")
            raise
        seen[status.name] += 1
        seen.update(world.faults)
    return seen
