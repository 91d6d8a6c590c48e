"""docs/sagactl.md says what the command does."""

import re
from pathlib import Path

from typer.main import get_command

from orchestrator.cli.sagactl.exits import MEANINGS, ExitCode
from orchestrator.cli.sagactl.main import app

DOCUMENT = (Path(__file__).parents[4] / "docs" / "sagactl.md").read_text()


def test_every_exit_code_has_its_line() -> None:
    lines = re.findall(r"^\| (\d+) \| (.+) \|$", DOCUMENT, re.MULTILINE)
    assert {int(code): meaning for code, meaning in lines} == {int(code): text for code, text in MEANINGS.items()}
    assert set(MEANINGS) == set(ExitCode)


def test_every_command_has_its_line() -> None:
    table = DOCUMENT.split("| command |")[1].split("##")[0]
    named = {
        name for cell in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`([\w-]+)`", cell)
    }
    commands = getattr(get_command(app), "commands")  # noqa: B009  (Typer's types do not tell that it is a group)
    assert named == set(commands)


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", DOCUMENT):
        assert (Path(__file__).parents[4] / "docs" / target).resolve().exists(), target
