"""``python -m benchmarks.plotting RESULTS.json DIRECTORY``, in an environment with matplotlib."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same results give the same file
mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["font.size"] = 9

from matplotlib import pyplot as plt  # noqa: E402  (the backend comes first)

SIZE_INCHES: Final = (8.0, 4.0)
COLOURS: Final = {
    "bare client": "#9aa0a6",
    "orchestrator": "#1a73e8",
    "hand-written": "#188038",
    "DBOS": "#e8710a",
    "Restate": "#9334e6",
    "Temporal": "#c5221f",
}
PARTS: Final = (
    ("server_ms", "server", "#1a73e8"),
    ("worker_ms", "worker", "#9334e6"),
    ("load_ms", "caller", "#9aa0a6"),
    ("postgres_ms", "PostgreSQL", "#188038"),
)


def bars(rows: Sequence[dict[str, Any]], value: str, label: str, file: Path) -> None:
    """One group for each number in flight, one bar for each contender, on a logarithmic scale."""
    figure, axes = plt.subplots(figsize=SIZE_INCHES)
    flying = sorted({row["in_flight"] for row in rows})
    names = [name for name in COLOURS if any(row["by"] == name for row in rows)]
    width = 0.8 / max(1, len(names))
    for place, name in enumerate(names):
        found = {row["in_flight"]: row[value] for row in rows if row["by"] == name}
        at = [group + (place - (len(names) - 1) / 2) * width for group in range(len(flying))]
        drawn = axes.bar(at, [found.get(number, 0) for number in flying], width, color=COLOURS[name], label=name)
        axes.bar_label(drawn, fmt=lambda number: f"{number:,.0f}" if number >= 10 else f"{number:.1f}", fontsize=7)
    axes.set_yscale("log")
    axes.set_xticks(range(len(flying)), [f"{number} in flight" for number in flying])
    axes.set_ylabel(label)
    _save(figure, axes, file)


def stacks(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """CPU a saga beside the participants, by group of processes, at 64 in flight."""
    figure, axes = plt.subplots(figsize=SIZE_INCHES)
    names = [row["by"] for row in rows]
    left = [0.0] * len(rows)
    for part, label, colour in PARTS:
        values = [max(0.0, row[part]) for row in rows]
        axes.barh(names, values, left=left, color=colour, label=label)
        left = [sum(pair) for pair in zip(left, values, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("CPU a saga in ms, without the participants")
    _save(figure, axes, file)


def _save(figure: Any, axes: Any, file: Path) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=3)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def main() -> None:
    """Draws what there are rows for."""
    results, directory = Path(sys.argv[1]), Path(sys.argv[2])
    rows = [row for row in json.loads(results.read_text())["summaries"] if row["site"] == "trivial"]
    plain = [row for row in rows if not row["feature"]]
    for refused in sorted({row["refused"] for row in plain}):
        chosen = [row for row in plain if row["refused"] == refused]
        name = f"{refused:.0%}".rstrip("%")
        bars(chosen, "sagas_per_s", f"sagas a second, {name} % refused", directory / f"rate-{name}.svg")
        bars(chosen, "p50_ms", f"p50 in ms, {name} % refused", directory / f"p50-{name}.svg")
    at_64 = [row for row in plain if row["in_flight"] == 64 and row["refused"] == 0]
    if at_64:
        stacks(at_64, directory / "cpu.svg")


if __name__ == "__main__":
    main()
