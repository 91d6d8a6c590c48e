"""What was found, as text for a terminal and for ``docs/scale.md``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from benchmarks.scale.counters import Table
from benchmarks.scale.operators import MOST_P99_MS, Answered
from benchmarks.scale.plans import Plan
from benchmarks.scale.rates import Cost, Idle, Round, ratio
from benchmarks.scale.soak import Flatness
from benchmarks.scale.takeover import Takeover

LEAST_RATIO: Final = 0.9
MOST_STATEMENTS: Final = 5.0
MOST_WAL_BYTES: Final = 3000.0
MEGA: Final = 1e6


@dataclass(slots=True)
class Found:
    """Everything that one run measured; what it was not asked for is empty."""

    stored: str = ""
    rounds: list[Round] = field(default_factory=list)
    cost: Cost | None = None
    idle: dict[str, Idle] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    takeovers: dict[str, Takeover] = field(default_factory=dict)
    soak: list[Flatness] = field(default_factory=list)
    soak_told: str = ""


def promises(found: Found) -> Iterator[tuple[str, bool]]:
    """Each promise that the run can judge, in words, and whether it holds."""
    if found.rounds:
        value = ratio(found.rounds)
        yield (
            f"with them stored, {value:.0%} of the empty database's rate (at least {LEAST_RATIO:.0%})",
            (value >= LEAST_RATIO),
        )
    if found.cost is not None:
        text = f"{found.cost.wal_bytes:,.0f} bytes of WAL a saga of three steps (at most {MOST_WAL_BYTES:,.0f})"
        yield text, found.cost.wal_bytes <= MOST_WAL_BYTES
    for name, idle in found.idle.items():
        yield (
            f"an idle node on the {name} database: {idle.statements_per_s:.2f} statements a second (under 5)",
            (idle.statements_per_s < MOST_STATEMENTS),
        )
    if found.plans:
        bad = [plan.name for plan in found.plans if not plan.is_good]
        yield (
            f"no statement of a node reads a large table from end to end{': ' + ', '.join(bad) if bad else ''}",
            (not bad),
        )
    if found.answers:
        slow = ", ".join(each.name for each in found.answers if not each.holds)
        text = f"operators' questions are answered within {MOST_P99_MS:.0f} ms at p99"
        yield f"{text}, but for: {slow}" if slow else text, not slow
    for name, each in found.takeovers.items():
        times = f"running again after {each.running_s:.1f} s (at most {each.bound_s:.1f}), ended {each.ended_s:.1f} s"
        yield f"{each.sagas:,} sagas of a killed node whose participants {name}: {times}", each.holds
    for flat in found.soak:
        yield f"flat over the soak: {flat.name}, {flat.last:,.0f} after {flat.second:,.0f}", flat.holds


def sections(found: Found, machine: Mapping[str, str]) -> Iterator[tuple[str, Sequence[Sequence[str]]]]:
    """Title and rows, headings first, of each table."""
    yield "Promises", [("", "holds"), *((text, "yes" if holds else "NO") for text, holds in promises(found))]
    if found.rounds:
        yield (
            "Start to end, 64 in flight: sagas a second",
            [
                ("round", "empty", "full", "full to empty", "p99 empty, ms", "p99 full, ms"),
                *(
                    (
                        str(number + 1),
                        f"{each.empty.rate:,.0f}",
                        f"{each.full.rate:,.0f}",
                        f"{each.ratio:.2f}",
                        f"{each.empty.p99_ms:.0f}",
                        f"{each.full.p99_ms:.0f}",
                    )
                    for number, each in enumerate(found.rounds)
                ),
                (
                    "median",
                    f"{median(each.empty.rate for each in found.rounds):,.0f}",
                    f"{median(each.full.rate for each in found.rounds):,.0f}",
                    f"{ratio(found.rounds):.2f}",
                    "",
                    "",
                ),
            ],
        )
    if found.cost is not None:
        cost = found.cost
        yield (
            f"Cost of a saga in the full database, over {cost.sagas:,}",
            [
                ("WAL bytes", "table bytes", "index bytes", "updates", "of these in place", "dead rows"),
                (
                    f"{cost.wal_bytes:,.0f}",
                    f"{cost.table_bytes:,.0f}",
                    f"{cost.index_bytes:,.0f}",
                    f"{cost.updates:.2f}",
                    f"{cost.in_place_share:.1%}",
                    f"{cost.dead:.2f}",
                ),
            ],
        )
    if found.idle:
        yield (
            "An idle node",
            [
                ("database", "statements/s", "memory, MB"),
                *(
                    (name, f"{idle.statements_per_s:.2f}", f"{idle.resident_bytes / MEGA:.1f}")
                    for name, idle in found.idle.items()
                ),
            ],
        )
    if found.takeovers:
        yield (
            "Takeover",
            [
                (
                    "participants",
                    "sagas",
                    "running, s",
                    "ended, s",
                    "survivor's CPU, s",
                    "its memory, MB more",
                    "others' CPU",
                ),
                *(
                    (
                        name,
                        f"{each.sagas:,}",
                        f"{each.running_s:.1f}",
                        f"{each.ended_s:.1f}",
                        f"{each.cpu_s:.1f}",
                        f"{each.bytes_more / MEGA:.0f}",
                        f"{each.others_share:.0%}",
                    )
                    for name, each in found.takeovers.items()
                ),
            ],
        )
    if found.soak:
        yield (
            f"Soak: {found.soak_told}",
            [
                ("", "second third", "last third", "at most"),
                *((flat.name, f"{flat.second:,.0f}", f"{flat.last:,.0f}", f"{flat.most:,.0f}") for flat in found.soak),
            ],
        )
    if found.tables:
        yield (
            "Tables at the end",
            [
                ("table", "rows", "dead", "table, MB", "indexes, MB"),
                *(
                    (
                        table.name,
                        f"{table.live:,}",
                        f"{table.dead:,}",
                        f"{table.table_bytes / MEGA:,.1f}",
                        f"{table.index_bytes / MEGA:,.1f}",
                    )
                    for table in found.tables.values()
                ),
            ],
        )
    if found.plans:
        yield (
            "Statements on the full database",
            [
                ("statement", "ms", "pages", "indexes", "read whole"),
                *(
                    (
                        plan.name,
                        f"{plan.milliseconds:.2f}",
                        f"{plan.pages:,}",
                        ", ".join(plan.indexes),
                        ", ".join(plan.scanned),
                    )
                    for plan in found.plans
                ),
            ],
        )
    if found.answers:
        yield (
            "What operators ask",
            [
                ("question", "asked", "p50, ms", "p99, ms"),
                *((each.name, f"{each.asked:,}", f"{each.p50_ms:.1f}", f"{each.p99_ms:.1f}") for each in found.answers),
            ],
        )
    yield "Machine", [("", ""), *machine.items()]


def text(found: Found, machine: Mapping[str, str]) -> str:
    """All of it as Markdown."""
    parts = [f"{found.stored}\n"] if found.stored else []
    for title, (headings, *rows) in sections(found, machine):
        lines = [headings, ["---"] * len(headings), *rows]
        parts.append(f"### {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(parts)
