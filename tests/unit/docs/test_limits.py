"""The table of limits names settings, reasons and tests that there are."""

import re
from pathlib import Path

from contracts.errors import Reason
from contracts.shape import MAX_DEPTH, MAX_ELEMENTS
from orchestrator.definitions.policies import MAX_STEPS
from orchestrator.rpc.limits.callers import MAX_KNOWN, CallerPolicy
from orchestrator.settings import Settings

DOCS = Path(__file__).parents[3] / "docs"
LIMITS = (DOCS / "limits.md").read_text()
IN_THE_JOURNAL = {"SAGA_TOO_LARGE", "RESPONSE_TOO_LARGE"}


def test_every_name_is_one_of_a_setting_or_a_reason() -> None:
    names = set(re.findall(r"`([A-Z][A-Z_]+)`", LIMITS)) - {"ORCHESTRATOR_", "PARTICIPANT_MAX_CONCURRENT_CALLS"}
    known = {name.upper() for name in Settings.model_fields} | set(Reason) | IN_THE_JOURNAL
    assert names <= known, names - known


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", LIMITS):
        assert (DOCS / target).exists(), target


def test_the_numbers_are_those_of_the_program() -> None:
    policy = CallerPolicy()
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in LIMITS.splitlines() if row.startswith("| ")}
    assert rows["calls under way, until their answers are read"] == f"{policy.max_calls:,}"
    assert rows["streams and calls of `WaitSaga` under way"] == f"{policy.max_watchers:,}"
    assert rows["levels of messages, `Any` opened"].startswith(f"{MAX_DEPTH} ")
    assert rows["messages and map entries in a request"] == f"{MAX_ELEMENTS:,}"
    assert rows["callers remembered"] == f"{MAX_KNOWN:,}"
    assert rows["steps of a definition"] == str(MAX_STEPS)
