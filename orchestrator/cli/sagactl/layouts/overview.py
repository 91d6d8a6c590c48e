"""How all sagas are doing: the screen of ``sagactl top``."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.console import RenderableType
from rich.text import Text
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.layouts.fleet import participant_table
from orchestrator.cli.sagactl.layouts.sagas import STATES, cause_table
from orchestrator.cli.sagactl.layouts.tables import STYLES, heading, pairs
from orchestrator.cli.sagactl.words import clock, many, took, word

BARS: Final = " ▁▂▃▄▅▆▇█"
ASCII_BARS: Final = " .:-=+*#"
MAX_CAUSES: Final = 12


def overview(
    told: pb.GetOverviewResponse, participants: pb.ListParticipantsResponse, now: datetime, address: str, bars: str
) -> Iterator[RenderableType]:
    """State counts, the last hour as small plots, what needs attention, participants."""
    yield Text.assemble(
        ("sagactl top  ", "bold"), f"{address}  {clock(told.read_time)}  {many(told.nodes, 'live node')}"
    )
    line = Text("live: ")
    for each in told.live:
        name = word(STATES, each.state)
        line.append(f"{name} {each.sagas:,}  ", STYLES.get(name, ""))
    yield line.append(f"paused {told.paused:,}", "yellow" if told.paused else "")
    yield from _plots(told, bars)
    yield heading("Needs attention" if told.attention else "Nothing needs attention")
    if told.attention:
        yield cause_table(told.attention[:MAX_CAUSES], now)
        if len(told.attention) > MAX_CAUSES:
            yield Text(f"and {many(len(told.attention) - MAX_CAUSES, 'more cause')}: sagactl stuck --causes", "dim")
    yield heading("Participants")
    yield participant_table(participants.participants, now)


def _plots(told: pb.GetOverviewResponse, bars: str) -> Iterator[RenderableType]:
    if not told.buckets:
        return
    span = took(told.bucket)
    series = {
        "started": [each.started for each in told.buckets],
        "completed": [each.completed for each in told.buckets],
        "compensated": [each.compensated for each in told.buckets],
        "resolved": [each.resolved for each in told.buckets],
    }
    yield pairs(
        (name, Text(f"{spark(numbers, bars)}  {sum(numbers):,} in {len(numbers)} times {span}"))
        for name, numbers in series.items()
        if any(numbers) or name in {"started", "completed"}
    )
    last = next((each for each in reversed(told.buckets) if each.HasField("duration_p50")), None)
    if last is not None:
        yield Text(f"lately half took up to {took(last.duration_p50)}, 99 of 100 up to {took(last.duration_p99)}")


def spark(numbers: Sequence[int], bars: str) -> str:
    """One character a number, the highest as the last of ``bars``, 0 as the first."""
    highest = max(numbers, default=0) or 1
    return "".join(bars[-(-number * (len(bars) - 1) // highest)] for number in numbers)
