"""The results as a table for the terminal and as ``docs/benchmarks.md``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final, TypeAlias

from rich.table import Table

from benchmarks.measure import Measurement
from benchmarks.scenarios import Contender
from benchmarks.summary import Summary

Column: TypeAlias = tuple[str, Callable[[Summary], str]]

SCENARIO: Final[tuple[Column, ...]] = (
    ("participants", lambda row: row.scenario.site),
    ("in flight", lambda row: str(row.scenario.in_flight)),
    ("by", lambda row: row.scenario.contender),
)
SPEED: Final[tuple[Column, ...]] = (
    ("sagas/s", lambda row: f"{row.sagas_per_s:,.0f}"),
    ("range", lambda row: f"{row.lowest_per_s:,.0f}-{row.highest_per_s:,.0f}"),
    ("of bare", lambda row: f"{row.rate_to_bare:.0%}"),
    ("p50 ms", lambda row: f"{row.p50_ms:.1f}"),
    ("to bare", lambda row: f"{row.p50_to_bare:.1f} x"),
    ("p99 ms", lambda row: f"{row.p99_ms:.1f}"),
    ("to p50", lambda row: f"{row.p99_ms / row.p50_ms:.1f} x"),
)
COST: Final[tuple[Column, ...]] = (
    ("node", lambda row: _ours(row, f"{row.node_ms:.2f}")),
    ("PostgreSQL", lambda row: f"{row.postgres_ms:.2f}"),
    ("participants", lambda row: f"{row.participants_ms:.2f}"),
    ("load", lambda row: f"{row.load_ms:.2f}"),
    ("commits", lambda row: f"{row.commits:.2f}"),
    ("fsyncs", lambda row: f"{row.fsyncs:.2f}"),
    ("WAL KB", lambda row: f"{row.wal_bytes / 1000:.2f}"),
)
TABLES: Final = (
    ("Speed: medians of the repeats", (*SCENARIO, *SPEED)),
    ("Cost of a saga: CPU in ms by process, and what PostgreSQL did", (*SCENARIO, *COST)),
)
LEFT: Final = frozenset({0, 2})
"""Columns of words; the others are numbers and stand to the right."""

PREAMBLE: Final = """\
# Benchmarks

Written by `python -m benchmarks --write`; `make bench` prints the same without writing it.

`place-order` version 1 (reserve, charge, create shipment, one after the other) through one node's typed front door
`orders.v1.OrderService/PlaceOrder`, on the embedded PostgreSQL with fsync on and with every setting at its default,
next to a bare client that makes the same three calls itself and remembers nothing. Everything runs on one machine:
load generator, node, PostgreSQL and participants share its CPUs.

- **trivial** participants answer from memory at once, all three in one process: what is left is the cost of the caller.
- **real** ones are the inventory, payment and shipping services with their barriers, each committing to PostgreSQL.

Every order is new and fulfillable, two of a thousand articles each. A closed loop keeps 1 or 64 orders in flight. The
scenarios take turns, forwards and backwards. Rates and latencies are medians of the repeats, *range* is the slowest
and the fastest one, and the ratios are medians of ratios taken within one repeat. Costs are per saga, over all repeats:
CPU of each group of processes in milliseconds (PostgreSQL includes the real participants' databases), commits, fsyncs
and bytes of the WAL. After each run the participants are asked what they did: one reservation, one payment and one
shipment for every completed saga, or the benchmark fails.

At one in flight a saga waits for four commits, one after the other: the disk's sync time counts four times. What else
runs on the machine takes CPU and disk from both sides, so the ratios say more than the rates; *others' CPU* is the
share of the machine that went to programs outside the measurement.
"""


def tables(rows: Sequence[Summary]) -> Iterator[Table]:
    """For the terminal."""
    for title, columns in TABLES:
        table = Table(title=title, title_justify="left")
        for number, (heading, _) in enumerate(columns):
            table.add_column(heading, justify="left" if number in LEFT else "right", no_wrap=True)
        for row in rows:
            table.add_row(*_cells(columns, row), end_section=row.scenario.contender is list(Contender)[-1])
        yield table


def document(
    rows: Sequence[Summary], measurements: Sequence[Measurement], machine: Mapping[str, str], settings: str
) -> str:
    """``docs/benchmarks.md``, every single run included."""
    runs = [
        (
            str(each.repeat + 1),
            each.scenario.site,
            str(each.scenario.in_flight),
            each.scenario.contender,
            f"{each.sagas_per_s:,.0f}",
            f"{each.window.p50_ms:.2f}",
            f"{each.window.p99_ms:.2f}",
            f"{each.others_share:.0%}",
        )
        for each in measurements
    ]
    parts = [
        PREAMBLE,
        f"## Results\n\n{date.today().isoformat()}; {settings}.\n",  # noqa: DTZ011  (a date to read, not a time)
        *(
            f"{title}.\n\n"
            + _markdown([heading for heading, _ in columns], [_cells(columns, row) for row in rows], LEFT)
            for title, columns in TABLES
        ),
        "## Machine\n",
        _markdown(["", ""], list(machine.items()), frozenset({0, 1})),
        "## Every run\n",
        _markdown(
            ["repeat", "participants", "in flight", "by", "sagas/s", "p50 ms", "p99 ms", "others' CPU"],
            runs,
            frozenset({1, 3}),
        ),
    ]
    return "\n".join(parts)


def _ours(row: Summary, cell: str) -> str:
    """Empty for the bare client: the node that its run leaves idle is none of its cost."""
    return cell if row.scenario.contender is Contender.ENGINE else ""


def _cells(columns: Sequence[Column], row: Summary) -> list[str]:
    return [cell(row) for _, cell in columns]


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], left: frozenset[int]) -> str:
    rules = ["---" if number in left else "---:" for number in range(len(headings))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (headings, rules, *rows))
