"""The results as tables: for the terminal, and for the document."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

from rich.table import Table

from benchmarks.measure import Measurement
from benchmarks.open_loop import Overload
from benchmarks.scenarios import Contender, Feature, Site
from benchmarks.summary import Summary

RowT = TypeVar("RowT")
Column: TypeAlias = tuple[str, Callable[[RowT], str]]

NEITHER: Final = frozenset({Contender.RESTATE, Contender.TEMPORAL})
"""They store nothing in PostgreSQL, so what it did then is not theirs."""


class Results(Generic[RowT]):
    """A table: a title, columns of which the first ``words`` are text and the others numbers, and rows."""

    def __init__(self, title: str, words: int, columns: Sequence[Column[RowT]], rows: Sequence[RowT]) -> None:
        self.title = title
        self._words = words
        self._columns = columns
        self._rows = rows

    def __bool__(self) -> bool:
        return bool(self._rows)

    def for_terminal(self) -> Table:
        """The same for a screen."""
        table = Table(title=self.title, title_justify="left")
        for number, (heading, _) in enumerate(self._columns):
            table.add_column(heading, justify="left" if number < self._words else "right", no_wrap=True)
        for row in self._rows:
            table.add_row(*(cell(row) for _, cell in self._columns))
        return table

    def markdown(self) -> str:
        """The same as Markdown, its title as a sentence."""
        headings = [heading for heading, _ in self._columns]
        rules = ["---" if number < self._words else "---:" for number in range(len(headings))]
        cells = [[cell(row) for _, cell in self._columns] for row in self._rows]
        return f"{self.title}.\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in (headings, rules, *cells))


def tables(rows: Sequence[Summary], overloads: Sequence[Overload]) -> Iterator[Results[Summary] | Results[Overload]]:
    """Every table that has rows, in the order of the document."""
    plain = [row for row in rows if row.scenario.feature is Feature.NONE]
    peers = [row for row in plain if row.scenario.site is Site.TRIVIAL]
    real = [row for row in plain if row.scenario.site is Site.REAL]
    found = (
        Results("Speed, with trivial participants", 3, (*_CONDITIONS, *_SPEED), peers),
        Results("Cost of a saga: CPU in ms by process, and what PostgreSQL did", 3, (*_CONDITIONS, *_COST), peers),
        Results("Speed, with real participants and their barriers", 3, (*_CONDITIONS, *_SPEED), real),
        Results("Cost of a saga with real participants", 3, (*_CONDITIONS, *_COST), real),
        Results(
            "Features, with trivial participants; with mutual TLS, bare calls by mutual TLS are what it is compared to",
            3,
            (("feature", lambda row: row.scenario.feature), *_CONDITIONS[:2], *_FEATURE, *_COST),
            [row for row in rows if row.scenario.feature is not Feature.NONE],
        ),
        Results("Open loop at twice the closed loop's peak", 1, _OVERLOAD, overloads),
    )
    return (table for table in found if table)


def every_run(measurements: Sequence[Measurement]) -> Results[Measurement]:
    """One row for each run, in the order in which they were made."""
    return Results("In the order in which they were made", 4, _RUN, measurements)


def _ratio(value: float | None, form: str = "{:.2f} x") -> str:
    return "" if value is None else form.format(value)


def _stored(row: Summary, value: str) -> str:
    return "" if row.scenario.contender in NEITHER else value


_CONDITIONS: Final[tuple[Column[Summary], ...]] = (
    ("by", lambda row: row.scenario.contender),
    ("in flight", lambda row: str(row.scenario.in_flight)),
    ("refused", lambda row: f"{row.scenario.refused:.0%}"),
)
_SPEED: Final[tuple[Column[Summary], ...]] = (
    ("sagas/s", lambda row: f"{row.sagas_per_s:,.0f}"),
    ("range", lambda row: f"{row.lowest_per_s:,.0f}-{row.highest_per_s:,.0f}"),
    ("of bare", lambda row: _ratio(row.rate_to_bare, "{:.0%}")),
    ("orchestrator to it", lambda row: _ratio(row.engine_rate, "{:.1f} x")),
    ("p50 ms", lambda row: f"{row.p50_ms:.1f}"),
    ("to bare", lambda row: _ratio(row.p50_to_bare, "{:.1f} x")),
    ("p99 ms", lambda row: f"{row.p99_ms:.1f}"),
    ("to p50", lambda row: _ratio(row.p99_ms / row.p50_ms if row.p50_ms else None, "{:.1f} x")),
)
_COST: Final[tuple[Column[Summary], ...]] = (
    ("server", lambda row: f"{row.server_ms:.2f}" if row.server_ms else ""),
    ("worker", lambda row: f"{row.worker_ms:.2f}" if row.worker_ms else ""),
    ("caller", lambda row: f"{row.load_ms:.2f}"),
    ("PostgreSQL", lambda row: _stored(row, f"{row.postgres_ms:.2f}")),
    ("participants", lambda row: f"{row.participants_ms:.2f}"),
    ("commits", lambda row: _stored(row, f"{row.commits:.2f}")),
    ("fsyncs", lambda row: _stored(row, f"{row.fsyncs:.2f}")),
    ("WAL KB", lambda row: _stored(row, f"{row.wal_bytes / 1000:.2f}")),
)
_FEATURE: Final[tuple[Column[Summary], ...]] = (
    ("sagas/s", lambda row: f"{row.sagas_per_s:,.0f}"),
    ("to without", lambda row: _ratio(row.rate_to_plain)),
    ("of bare", lambda row: _ratio(row.rate_to_bare, "{:.0%}")),
    ("p50 ms", lambda row: f"{row.p50_ms:.1f}"),
    ("to bare", lambda row: _ratio(row.p50_to_bare, "{:.1f} x")),
    ("p99 ms", lambda row: f"{row.p99_ms:.1f}"),
)
_OVERLOAD: Final[tuple[Column[Overload], ...]] = (
    ("callers", lambda row: "honour RetryInfo" if row.honours else "ask again at once"),
    ("peak/s", lambda row: f"{row.peak_per_s:,.0f}"),
    ("arrive/s", lambda row: f"{row.rate:,.0f}"),
    ("complete/s", lambda row: f"{row.arrived.goodput_per_s:,.0f}"),
    ("of peak", lambda row: f"{row.arrived.goodput_per_s / row.peak_per_s:.0%}"),
    ("slowest second", lambda row: f"{row.arrived.lowest_per_s:,.0f}"),
    ("p50 ms", lambda row: f"{row.arrived.p50_ms:,.0f}"),
    ("p99 ms", lambda row: f"{row.arrived.p99_ms:,.0f}"),
    ("refusals", lambda row: f"{row.arrived.refusals:,}"),
    ("gave up", lambda row: f"{row.arrived.gave_up:,}"),
    ("late", lambda row: f"{row.arrived.late:,}"),
    ("failed", lambda row: f"{row.arrived.failed + row.arrived.not_sent:,}"),
    ("MiB before", lambda row: f"{row.before_mib:.0f}"),
    ("half-way", lambda row: f"{row.middle_mib:.0f}"),
    ("highest", lambda row: f"{row.highest_mib:.0f}"),
    ("after", lambda row: f"{row.after_mib:.0f}"),
    ("afterwards, of peak", lambda row: f"{row.after_per_s / row.peak_per_s:.0%}"),
)
_RUN: Final[tuple[Column[Measurement], ...]] = (
    ("repeat", lambda each: str(each.repeat + 1)),
    ("participants", lambda each: each.scenario.site),
    ("by", lambda each: each.scenario.contender),
    ("feature", lambda each: each.scenario.feature),
    ("in flight", lambda each: str(each.scenario.in_flight)),
    ("refused", lambda each: f"{each.scenario.refused:.0%}"),
    ("sagas/s", lambda each: f"{each.sagas_per_s:,.0f}"),
    ("p50 ms", lambda each: f"{each.window.p50_ms:.2f}"),
    ("p99 ms", lambda each: f"{each.window.p99_ms:.2f}"),
    ("others' CPU", lambda each: f"{each.others_share:.0%}"),
)
