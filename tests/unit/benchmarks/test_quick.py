"""What the quick benchmark calls worse."""

import json

from benchmarks.quick import BASELINE, change, kept, table
from benchmarks.summary import QUICK


def test_worse_is_less_of_what_is_good_and_more_of_what_costs() -> None:
    assert change("of bare at 64", 0.4, 0.5) > 0.15
    assert change("of bare at 64", 0.6, 0.5) < 0
    assert change("fsyncs a saga at 64", 0.5, 0.4) > 0.15
    assert change("fsyncs a saga at 64", 0.3, 0.4) < 0


def test_only_a_change_for_the_worse_is_marked() -> None:
    before = dict.fromkeys(QUICK, 1.0)
    now = before | {"WAL KB a saga at 64": 1.2, "of bare at 64": 1.4, "node CPU ms a saga at 64": 1.1}
    marks = list(table(now, before).columns[-1].cells)
    assert dict(zip(QUICK, marks, strict=True)) == {
        name: "WORSE" if name == "WAL KB a saga at 64" else "" for name in QUICK
    }


def test_the_figures_that_are_kept_are_those_that_are_tracked() -> None:
    assert list(kept()) == list(QUICK)
    assert set(json.loads(BASELINE.read_text())) == {"date", "values"}
