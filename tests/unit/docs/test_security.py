"""docs/security.md names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`([\w./-]*test_\w+\.py)(?:::(\w+))?`", TEXT)


def test_every_line_is_shown_by_a_test() -> None:
    checklist = TEXT.partition("## What it costs")[0]
    rows = [
        row for row in checklist.splitlines() if row.startswith("| ") and not row.startswith(("| ---", "| read", "| ["))
    ]
    for row in rows:
        shown = row.strip("| ").split(" | ")[-1]
        assert shown == "shown by" or "`" in shown, row


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 50
    for file, test in NAMED:
        if file.startswith("tests/"):
            continue
        path = (ROOT / "tests" / "security" / file).resolve()
        assert path.is_file(), file
        assert not test or re.search(rf"^(async )?def {test}\(", path.read_text(), re.MULTILINE), f"{file}::{test}"


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
