"""Every command of the runbook is one that the program takes, and every reason that stops a saga has its line."""

import re
from pathlib import Path

import pytest
from saga.v1 import operator_pb2 as op

from tests.fixtures.runbook import RUNBOOK, as_typed, sections
from tests.fixtures.sagactl import sagactl
from tests.integration.sagactl.harness import BULK_ID, STUCK_ID, Operator, serving

ROOT = Path(__file__).parents[3]
COMMANDS = [words for commands in sections().values() for words in commands]
NODE_ID = "01900000-0000-7000-a000-000000000001"
STOPS_NOTHING = {
    "CANCELLED", "CUT_OFF", "NEVER_CALLED", "OPERATOR", "PAST_PIVOT", "SAGA_DEADLINE", "SAGA_STATE", "SETTLED",
    "STEP_NOT_FOUND", "VERSION_CHANGED",
}  # fmt: skip
"""Reasons that the code gives for refusals, or for turning around."""


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "sagactl"], ids=" ".join)
async def test_every_command_is_taken(words: list[str]) -> None:
    operator = Operator()
    operator.bulks[BULK_ID] = op.Bulk(bulk_id=BULK_ID, state=op.BULK_STATE_RUNNING, members=10)
    async with serving(operator) as address:
        result = await sagactl(address, *as_typed(words, SAGA_ID=STUCK_ID, BULK_ID=BULK_ID, NODE_ID=NODE_ID))
    assert result.exit_code == 0, result.output


def test_it_has_commands_of_both_programs_and_no_other() -> None:
    assert {words[0] for words in COMMANDS} == {"sagactl", "psql"}
    assert len(COMMANDS) > 50


def test_every_reason_that_the_code_gives_has_its_line() -> None:
    given = set()
    for folder in ("core", "engine"):
        for file in (ROOT / "orchestrator" / folder).glob("*.py"):
            text = file.read_text(encoding="utf-8")
            given |= set(re.findall(r'Failure\(0, "([A-Z_]+)"', text))
            given |= set(re.findall(r'(?:_defect\(run, invoke|give_up\(stored), "([A-Z_]+)"', text))
            given |= set(re.findall(r'^ +"([A-Z_]+)": Outcome\.', text, re.MULTILINE))
    assert given > {"CRASH_LOOP", "BUILDER_FAILED", "ENGINE_DEFECT", "KEY_REUSED", "BREAKER_OPEN"}
    tables = "\n".join(line.split("|")[1] for line in RUNBOOK.read_text().splitlines() if line.startswith("| "))
    listed = set(re.findall(r"`([A-Z_]+)`", tables))
    assert given - STOPS_NOTHING - {"STALE_EPOCH"} <= listed


def test_every_link_leads_somewhere() -> None:
    text = RUNBOOK.read_text()
    anchors = {
        re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        assert (RUNBOOK.parent / file).exists(), target
        assert file or anchor in anchors, target
