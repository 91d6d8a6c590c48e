"""How all sagas did over the last hours. What lies in the past does not change, and is read once."""

from collections import OrderedDict
from typing import Final

from orchestrator.engine.stored import Visibility
from orchestrator.operations.ports import OperatorStore
from orchestrator.operations.values import Bucket

SETTLED_US: Final = 10_000_000
"""A bucket that ended this long ago gets nothing more: every commit of its time is visible."""
MAX_KEPT: Final = 5000
MAX_READ_AT_ONCE: Final = 12
"""Buckets that one statement reads, so that none takes too long."""


class Overviews:
    """Reads buckets, and keeps those that are settled, apart for each visibility."""

    def __init__(self, store: OperatorStore) -> None:
        self._store: Final = store
        self._kept: Final[OrderedDict[tuple[Visibility, str | None, int, int], Bucket]] = OrderedDict()

    async def buckets(
        self, now_us: int, width_us: int, count: int, definition: str | None, visibility: Visibility
    ) -> list[Bucket]:
        """The last ``count`` buckets, oldest first; the newest is not over yet. Raises ``StoreUnavailable``."""
        end_us = -(-now_us // width_us) * width_us
        starts_us = [end_us - (count - number) * width_us for number in range(count)]
        missing = [start_us for start_us in starts_us if (visibility, definition, width_us, start_us) not in self._kept]
        found: dict[int, Bucket] = {}
        for first in range(0, len(missing), MAX_READ_AT_ONCE):
            some = missing[first : first + MAX_READ_AT_ONCE]
            edges_us = [*range(some[0], some[-1] + 1, width_us), some[-1] + width_us]
            for bucket in await self._store.buckets(edges_us, definition, visibility):
                found[bucket.start_us] = bucket
        for start_us, bucket in found.items():
            if start_us + width_us + SETTLED_US < now_us:
                self._kept[visibility, definition, width_us, start_us] = bucket
        answer = [
            found[start_us] if start_us in found else self._kept[visibility, definition, width_us, start_us]
            for start_us in starts_us
        ]
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return answer
