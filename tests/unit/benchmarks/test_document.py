"""The document and its JSON hold every run."""

import json
import re
from pathlib import Path

from benchmarks.arrivals import Arrived
from benchmarks.counters import Usage
from benchmarks.document import TEXT, Outcome, as_json, document
from benchmarks.load import Window
from benchmarks.measure import Measurement
from benchmarks.open_loop import Overload
from benchmarks.report import tables
from benchmarks.scenarios import Contender, Scenario, Site, features
from benchmarks.summary import summarise

ROOT = Path(__file__).parents[3]


def outcome() -> Outcome:
    several = [Scenario(Site.TRIVIAL, 64, contender) for contender in Contender]
    several += [Scenario(Site.REAL, 1, Contender.ENGINE), *features()]
    used = Usage(2.0, 0.2, 0.1, 0.1, 0.1, 1.0, 1000.0, 8.0, 6.0)
    measurements = [
        Measurement(scenario, repeat, Window(100, 2.0, 1.25, 3.0, 0.1), used)
        for repeat in range(2)
        for scenario in several
    ]
    arrived = Arrived(1000, 600, 10.0, 9.0, 5.0, 9.0, 12.0, 300, 100, 0, 0, 0)
    overloads = [Overload(honours, 20.0, 10.0, 10.0, arrived, 100.0, 110.0, 120.0, 105.0) for honours in (True, False)]
    return Outcome(summarise(measurements), measurements, overloads, {"CPU": "2 x some"}, "2 repeats")


def test_every_table_is_there_and_every_run() -> None:
    found = outcome()
    text = document(found, ["rate-0.svg"])
    for table in tables(found.rows, found.overloads):
        assert table.title in text
        assert table.for_terminal().row_count > 0
    assert text.count("| 1.25 | 3.00 |") == len(found.measurements)
    assert "![Sagas a second, 0 % refused](benchmarks/rate-0.svg)" in text


def test_the_json_is_json_and_has_every_run() -> None:
    found = outcome()
    told = json.loads(as_json(found))
    assert len(told["runs"]) == len(found.measurements)
    assert {row["by"] for row in told["summaries"]} == set(Contender)
    assert len(told["overloads"]) == 2


def test_the_method_names_files_that_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT.read_text()):
        assert (ROOT / "docs" / target).resolve().exists(), target
