"""``docs/benchmarks.md``, with its plots and its results as JSON, every single run included."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Measurement
from benchmarks.open_loop import Overload
from benchmarks.peers.environments import provide
from benchmarks.processes import ROOT
from benchmarks.report import Results, every_run, tables
from benchmarks.scenarios import Scenario
from benchmarks.summary import Summary

DOCUMENT: Final = ROOT / "docs" / "benchmarks.md"
PLOTS: Final = ROOT / "docs" / "benchmarks"
TEXT: Final = Path(__file__).with_name("method.md")
DRAW_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one benchmark gave. ``machine``: label to value; ``settings``: repeats, lengths, seeds."""

    rows: Sequence[Summary]
    measurements: Sequence[Measurement]
    overloads: Sequence[Overload]
    machine: Mapping[str, str]
    settings: str


def write(outcome: Outcome) -> None:
    """Writes and draws all of it. Raises ``PeerMissingError`` if matplotlib cannot be installed."""
    drawing = provide("plotting", ROOT / "benchmarks" / "plotting" / "requirements.txt")
    PLOTS.mkdir(exist_ok=True)
    for stale in PLOTS.glob("*.svg"):
        stale.unlink()
    results = PLOTS / "results.json"
    results.write_text(as_json(outcome))
    command = [str(drawing / "bin" / "python"), "-m", "benchmarks.plotting", str(results), str(PLOTS)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=DRAW_TIMEOUT_S)  # noqa: S603  (this repository's own module)
    DOCUMENT.write_text(document(outcome, [plot.name for plot in sorted(PLOTS.glob("*.svg"))]))


def document(outcome: Outcome, plots: Sequence[str]) -> str:
    """``plots``: names of files beside the results."""
    today = date.today().isoformat()  # noqa: DTZ011  (a date to read, not a time)
    machine = Results("What it ran on", 2, (("", lambda row: row[0]), (" ", lambda row: row[1])), _pairs(outcome))
    parts = [
        TEXT.read_text(),
        f"## Results\n\n{today}; {outcome.settings}.\n",
        *(f"![{_caption(name)}](benchmarks/{name})\n" for name in plots),
        *(table.markdown() for table in tables(outcome.rows, outcome.overloads)),
        "## Machine\n",
        machine.markdown(),
        "## Every run\n\nAlso in [results.json](benchmarks/results.json), with everything that was counted.\n",
        every_run(outcome.measurements).markdown(),
    ]
    return "\n".join(parts)


def as_json(outcome: Outcome) -> str:
    """Summaries, runs, overloads and machine, one object a line."""
    summaries = [_flat(row.scenario, asdict(row)) for row in outcome.rows]
    runs = [_flat(each.scenario, asdict(each)) for each in outcome.measurements]
    lists = {"summaries": summaries, "runs": runs, "overloads": [asdict(each) for each in outcome.overloads]}
    parts = [f'"machine": {json.dumps(dict(outcome.machine), ensure_ascii=False)}']
    for name, several in lists.items():
        lines = ",\n".join(json.dumps(_rounded(each), ensure_ascii=False) for each in several)
        parts.append(f'"{name}": [\n{lines}\n]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _pairs(outcome: Outcome) -> list[tuple[str, str]]:
    return list(outcome.machine.items())


def _flat(scenario: Scenario, values: dict[str, Any]) -> dict[str, Any]:
    named = {
        "site": scenario.site,
        "by": scenario.contender,
        "in_flight": scenario.in_flight,
        "refused": scenario.refused,
        "feature": scenario.feature,
    }
    return named | {name: value for name, value in values.items() if name != "scenario"}


def _rounded(value: Any) -> Any:
    """Floats to six significant digits: what was measured has no more."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _caption(name: str) -> str:
    kind, _, refused = name.removesuffix(".svg").partition("-")
    told = {"rate": "Sagas a second", "p50": "Median latency", "cpu": "CPU a saga at 64 in flight"}[kind]
    return f"{told}, {refused} % refused" if refused else told
