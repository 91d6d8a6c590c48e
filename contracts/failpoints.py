"""Named places where a test makes a process fail: at the ports, on both sides of the participant contract.

Nothing here runs unless a setting arms a point: the wrappers that reach the points are put in by the composition roots,
and only then. An armed point is written ``POINT=ACTION[:SECONDS][@HIT]``, several of them separated by commas:

- ``kill`` ends the process with SIGKILL, ``delay`` waits so many seconds, ``hang`` an hour, ``error`` fails as
  the port would, ``note`` does nothing but tell;
- ``@3`` acts at the third hit alone, ``@*`` at every one; without it the first one counts.

Whatever acts is told first in a log of its own, one line of JSON, which outlives a kill.
"""

import asyncio
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.metadata import PHASE_ACTION, PHASE_COMPENSATION, PHASE_SETTLE

ACTIONS: Final = ("kill", "delay", "hang", "error", "note")
HANG_S: Final = 3600.0
PARTICIPANT_POINTS: Final = (
    *(
        f"{phase}.{moment}"
        for phase in (PHASE_ACTION, PHASE_COMPENSATION, PHASE_SETTLE)
        for moment in ("received", "begin", "committing", "committed", "answering")
    ),
    *(f"{phase}.handled" for phase in (PHASE_ACTION, PHASE_COMPENSATION)),
)
"""``received``: on receipt; ``begin``: before the transaction; ``handled``: after the business code; ``committing`` and
``committed``: around COMMIT; ``answering``: with the answer in hand, replays included."""

_ARMED: Final = re.compile(r"([a-z_.]+)=([a-z]+)(?::([0-9]+(?:\.[0-9]+)?))?(?:@([0-9]+|\*))?")


class FailpointError(Exception):
    """An armed point says that the call through it fails; the wrapper turns this into what its port raises."""


@dataclass(frozen=True, slots=True)
class Failpoint:
    """What to do at a point. ``hit`` counts from 1; None means every one."""

    point: str
    action: str
    seconds: float = 0.0
    hit: int | None = 1


def parse_failpoints(text: str, points: Collection[str]) -> tuple[Failpoint, ...]:
    """Raises ``ValueError`` naming what is not an armed point, or not one of ``points``."""
    armed: list[Failpoint] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        match = _ARMED.fullmatch(part)
        if match is None or match[2] not in ACTIONS:
            raise ValueError(f"{part!r} is not POINT=ACTION[:SECONDS][@HIT]; actions are {', '.join(ACTIONS)}")
        if match[1] not in points:
            raise ValueError(f"there is no failpoint {match[1]!r}; there are {', '.join(sorted(points))}")
        hit = None if match[4] == "*" else int(match[4] or 1)
        armed.append(Failpoint(match[1], match[2], float(match[3] or 0), hit))
    return tuple(armed)


class Failpoints:
    """The armed points of a process, and how often each was hit."""

    def __init__(self, armed: Sequence[Failpoint], log: Path) -> None:
        self._armed: Final = tuple(armed)
        self._log: Final = log
        self._hits: Final[Counter[str]] = Counter()

    async def reach(self, point: str) -> None:
        """Does what is armed here, if anything. Raises :class:`FailpointError`."""
        self._hits[point] += 1
        for each in self._armed:
            if each.point == point and each.hit in (None, self._hits[point]):
                await self._act(each)

    async def _act(self, failpoint: Failpoint) -> None:
        self._tell(failpoint)
        match failpoint.action:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "delay":
                await asyncio.sleep(failpoint.seconds)
            case "hang":
                await asyncio.sleep(HANG_S)
            case "error":
                raise FailpointError(f"the failpoint {failpoint.point} is armed")

    def _tell(self, failpoint: Failpoint) -> None:
        """One write of one short line to a file opened for appending: whole, and kept by the kernel across a kill."""
        line = {
            "point": failpoint.point,
            "action": failpoint.action,
            "hit": self._hits[failpoint.point],
            "pid": os.getpid(),
            "at": time.time(),
        }
        file = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, json.dumps(line).encode() + b"\n")
        finally:
            os.close(file)
