"""Lists, details and explanations: as tables of a fixed width, as JSON, and with hostile text in them."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from saga.v1 import operator_pb2 as op

from orchestrator.cli.sagactl import screen
from tests.fixtures.operator_service import START_S
from tests.fixtures.sagactl import sagactl
from tests.integration.sagactl.harness import STUCK_ID, UNKNOWN_ID, Operator, serving

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = {
    "list": ("list", "--limit", "4"),
    "list-count": ("list", "--count"),
    "stuck": ("stuck", "--limit", "2"),
    "get": ("get", STUCK_ID),
    "get-everything": ("get", STUCK_ID, "--everything"),
    "explain": ("explain", STUCK_ID),
    "retry-dry-run": ("retry", STUCK_ID, "--dry-run"),
    "bulk-dry-run": ("bulk", "start", "retry", "--state", "stuck", "--dry-run"),
    "participants": ("participants",),
    "nodes": ("nodes",),
    "definitions": ("definitions",),
    "top": ("top",),
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_tables_look_as_they_did(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written anew by a run after the file was removed; look at it before it is committed."""
    monkeypatch.setattr(screen, "now", lambda: datetime.fromtimestamp(START_S + 4000, UTC))
    async with serving(Operator()) as address:
        result = await sagactl(address, *COMMANDS[name])
    assert result.exit_code == 0, result.output
    shown = result.stdout.replace(address, "ADDRESS")
    golden = GOLDEN / f"{name}.txt"
    if not golden.exists():
        golden.write_text(shown)
        pytest.fail(f"{golden} was missing and has been written")
    assert shown == golden.read_text()
    assert all(len(line) <= 120 for line in shown.splitlines())


async def test_a_narrow_terminal_keeps_what_matters_and_a_pipe_keeps_everything() -> None:
    async with serving(Operator()) as address:
        narrow = await sagactl(address, "stuck", "--limit", "1", columns=80)
        wide = await sagactl(address, "stuck", "--limit", "1", columns=1000)
    assert all(len(line) <= 80 for line in narrow.stdout.splitlines())
    assert re.search(
        r"^01900000-0000-7000-8000-000000000027 .*STUCK .*charge .*CARD_DECLINED", narrow.stdout, re.MULTILINE
    )
    assert "MOVED" not in narrow.stdout
    assert "MOVED" in wide.stdout
    assert "place-order v2" in wide.stdout


async def test_json_is_the_contract_s_and_nothing_else_is_on_standard_output() -> None:
    async with serving(Operator()) as address:
        for arguments in COMMANDS.values():
            result = await sagactl(address, "--output", "json", *arguments)
            assert result.exit_code == 0, result.output
            assert json.loads(result.stdout)
            assert re.fullmatch(r"[ -~\n]*", result.stdout)
        found = json.loads((await sagactl(address, "stuck", "--output", "json", "--limit", "2")).stdout)
    assert [each["attention"] for each in found["sagas"]] == ["ATTENTION_KIND_STUCK"] * 2
    assert found["nextPageToken"]


async def test_filters_become_the_query_and_pages_are_gathered() -> None:
    async with serving(Operator()) as address:
        result = await sagactl(
            address, "list", "--state", "stuck", "--state", "running", "--step", "charge", "--output", "json"
        )
        assert len(json.loads(result.stdout)["sagas"]) == 10
        cut = await sagactl(address, "list", "--limit", "7")
        assert "--page-token 7" in cut.stderr
        rest = json.loads((await sagactl(address, "list", "--page-token", "7", "--output", "json")).stdout)
        assert len(rest["sagas"]) == 23
        none = await sagactl(address, "list", "--saga-id", UNKNOWN_ID)
        assert none.stdout == "no saga matches\n"


class Hostile(Operator):
    """Every text that a saga, its explanation and the log can carry is out for the terminal."""

    TEXT = "\x1b[2J\x1b]8;;http://evil\x07\r\u202e[bold]x[/bold]" + "A" * 20_000

    def __init__(self) -> None:
        super().__init__()
        for saga in self.sagas.values():
            saga.definition = saga.caller = saga.request_id = saga.failed_step = saga.blocked_reason = self.TEXT
            saga.failure.reason = saga.failure.message = saga.waiting_step = self.TEXT
            for step in saga.steps:
                step.name = step.method = step.blocked_reason = self.TEXT
        entry = op.AuditEntry(caller=self.TEXT, reason=self.TEXT, saga_id=STUCK_ID, target=self.TEXT)
        entry.refusal.message = self.TEXT
        self.audit.append(entry)


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("stuck",),
        ("get", STUCK_ID, "--everything"),
        ("explain", STUCK_ID),
        ("audit",),
        ("retry", STUCK_ID, "-r", "x", "-y"),
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
async def test_hostile_text_reaches_the_terminal_as_plain_text(arguments: tuple[str, ...], output: str) -> None:
    async with serving(Hostile()) as address:
        result = await sagactl(address, *arguments, "--output", output)
    assert result.exit_code == 0
    told = result.stdout + result.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", told)
    assert r"\x1b[2J" in told or r"\u001b[2J" in told
    if output == "table":
        assert len(told) < 100_000


async def test_colours_are_left_out_with_no_color() -> None:
    async with serving(Operator()) as address:
        result = await sagactl(address, "stuck")
    assert "\x1b" not in result.stdout
