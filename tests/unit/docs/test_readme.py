"""The README tells the truth about what can be checked."""

import re
import tomllib
from pathlib import Path

from orchestrator.settings import Settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def test_every_setting_has_a_line_and_every_line_a_setting() -> None:
    table = README.split("### Settings")[1].split("## How it works")[0]
    listed = {
        name for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert listed == {name.upper() for name in Settings.model_fields}


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    }
    names = {re.split(r"[\[><=]", name)[0] for name in wanted} - {"saga-orchestrator"}
    table = README.split("### Dependencies, and why")[1]
    listed = {name for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE) for name in re.findall(r"[\w-]+", row)}
    assert names <= listed, f"without a reason: {sorted(names - listed)}"


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
