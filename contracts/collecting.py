"""The garbage collector of a long-lived server."""

import gc
from typing import Final

THRESHOLD: Final = 20_000
"""New objects between two looks for cycles. A saga makes more than Python's default of 700, and hardly a cycle."""


def settle_memory() -> None:
    """To be called once a server serves: what is loaded by then stays, and the collector looks at it no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD)
