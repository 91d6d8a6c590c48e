"""Settling a server's memory."""

import gc

from contracts.collecting import THRESHOLD, settle_memory


def test_what_is_loaded_is_looked_at_no_more() -> None:
    before = gc.get_threshold()
    try:
        settle_memory()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] == THRESHOLD
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
