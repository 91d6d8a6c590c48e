"""The first page: what needs attention, what is under way, what happened lately."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from saga.v1 import operator_service_pb2 as pb

from orchestrator.console.queries import address
from orchestrator.console.times import Moment, moment, seconds, span
from orchestrator.console.views.rows import GroupRow, group_row
from orchestrator.console.words import SAGA_STATES, Word, word

MAX_SHARES: Final = 8


@dataclass(frozen=True, slots=True)
class StateTile:
    """Live sagas of one state, now."""

    state: Word
    sagas: int


@dataclass(frozen=True, slots=True)
class Share:
    """A participant's or a step's share of what needs attention; ``percent`` of the largest."""

    label: str
    sagas: int
    percent: float
    address: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Series over time for the chart library, and as a table. ``data`` is JSON: times, then one list a series."""

    key: str
    title: str
    unit: str
    series: tuple[str, ...]
    tones: tuple[str, ...]
    data: str
    rows: tuple[tuple[str, ...], ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page."""

    groups: tuple[GroupRow, ...]
    attention: int
    tiles: tuple[StateTile, ...]
    in_flight: int
    paused: int
    nodes: int
    steps: tuple[Share, ...]
    participants: tuple[Share, ...]
    plots: tuple[Plot, ...]
    read: Moment | None
    bucket: str


def overview_view(overview: pb.GetOverviewResponse, now_s: float) -> Overview:
    """``now_s`` is used where the database's own time is missing."""
    now_s = seconds(overview.read_time) or now_s
    groups = tuple(group_row(group, now_s) for group in overview.attention)
    by_step: Counter[tuple[str, str]] = Counter()
    by_participant: Counter[str] = Counter()
    for group in groups:
        by_step[group.definition, group.step or "no single step"] += group.sagas
        if group.participant:
            by_participant[group.participant] += group.sagas
    return Overview(
        groups=groups,
        attention=sum(group.sagas for group in groups),
        tiles=tuple(StateTile(word(SAGA_STATES, each.state), each.sagas) for each in overview.live),
        in_flight=sum(each.sagas for each in overview.live),
        paused=overview.paused,
        nodes=overview.nodes,
        steps=_shares([(f"{step} · {definition}", count) for (definition, step), count in by_step.most_common()]),
        participants=_shares(by_participant.most_common(), "participant"),
        plots=_plots(overview),
        read=moment(overview.read_time, now_s),
        bucket=span(seconds(overview.bucket)),
    )


def _shares(counts: list[tuple[str, int]], name: str = "") -> tuple[Share, ...]:
    largest = max((count for _, count in counts), default=1) or 1
    return tuple(
        Share(label, count, round(100 * count / largest, 1), address([(name, label)]) if name else "")
        for label, count in counts[:MAX_SHARES]
    )


def _plots(overview: pb.GetOverviewResponse) -> tuple[Plot, ...]:
    buckets = overview.buckets
    times = [int(seconds(bucket.start_time)) for bucket in buckets]
    clocks = [bucket.start_time.ToDatetime().strftime("%H:%M") for bucket in buckets]

    def plot(key: str, title: str, unit: str, series: dict[str, tuple[str, list[Any]]]) -> Plot:
        columns = [values for _, values in series.values()]
        shown = [["—" if value is None else _text(value, unit) for value in values] for values in columns]
        totals = [_total(name, values, unit) for name, (_, values) in series.items()]
        return Plot(
            key=key,
            title=title,
            unit=unit,
            series=tuple(series),
            tones=tuple(tone for tone, _ in series.values()),
            data=json.dumps([times, *columns], separators=(",", ":")),
            rows=tuple(zip(clocks, *shown, strict=True)),
            summary=", ".join(totals) or "nothing yet",
        )

    durations = {
        "p50": [seconds(one.duration_p50) if one.HasField("duration_p50") else None for one in buckets],
        "p99": [seconds(one.duration_p99) if one.HasField("duration_p99") else None for one in buckets],
    }
    return (
        plot("started", "Started", "sagas", {"started": ("busy", [one.started for one in buckets])}),
        plot(
            "ended",
            "Ended, by state",
            "sagas",
            {
                "completed": ("ok", [one.completed for one in buckets]),
                "compensated": ("back", [one.compensated for one in buckets]),
                "resolved": ("off", [one.resolved for one in buckets]),
            },
        ),
        plot(
            "durations",
            "Start to end",
            "s",
            {"p50": ("busy", durations["p50"]), "p99": ("warn", durations["p99"])},
        ),
    )


def _text(value: float, unit: str) -> str:
    return span(value) if unit == "s" else f"{value:,}"


def _total(name: str, values: list[Any], unit: str) -> str:
    known = [value for value in values if value is not None]
    if unit == "s":
        return f"{name} {span(known[-1])} lately" if known else f"{name} unknown"
    return f"{sum(known):,} {name}"
