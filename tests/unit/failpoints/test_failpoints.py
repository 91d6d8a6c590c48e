"""Failpoints act where they are armed, tell it, and are refused in production."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts.failpoints import PARTICIPANT_POINTS, Failpoint, FailpointError, Failpoints, parse_failpoints
from orchestrator.engine.ports import Store
from orchestrator.failpoints import POINTS, STORE_CALLS, failing_store
from orchestrator.settings import Settings
from participants.kit.settings import Settings as ParticipantSettings


def test_what_is_armed_is_read() -> None:
    text = "store.commit.after=kill@3, call.action.sending=delay:0.5@*,store.renew.before=error"
    assert parse_failpoints(text, POINTS) == (
        Failpoint("store.commit.after", "kill", 0, 3),
        Failpoint("call.action.sending", "delay", 0.5, None),
        Failpoint("store.renew.before", "error", 0, 1),
    )


@pytest.mark.parametrize("text", ["store.commit.after", "store.commit.after=maim", "store.nothing=kill"])
def test_what_cannot_be_armed_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text.partition("=")[0]):
        parse_failpoints(text, POINTS)


def test_the_points_stand_at_calls_that_the_store_has() -> None:
    assert all(callable(getattr(Store, call)) for call in STORE_CALLS)


async def test_it_acts_at_its_hit_and_tells(tmp_path: Path) -> None:
    log = tmp_path / "log"
    failpoints = Failpoints(parse_failpoints("store.load.before=error@2", POINTS), log)
    await failpoints.reach("store.load.before")
    with pytest.raises(FailpointError):
        await failpoints.reach("store.load.before")
    await failpoints.reach("store.load.before")
    (line,) = map(json.loads, log.read_text().splitlines())
    assert (line["point"], line["action"], line["hit"], line["pid"]) == ("store.load.before", "error", 2, os.getpid())


def test_a_kill_is_told_before_it_happens(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import asyncio; from pathlib import Path; from contracts.failpoints import Failpoint, Failpoints;"
        f"asyncio.run(Failpoints([Failpoint('a', 'kill')], Path({str(log)!r})).reach('a')); print('alive')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-9, b"")
    assert json.loads(log.read_text())["action"] == "kill"


async def test_a_store_without_its_points_is_the_store(tmp_path: Path) -> None:
    class Empty:
        def __getattr__(self, name: str) -> object:
            async def call() -> str:
                return name

            return call

    store = failing_store(Empty(), Failpoints((), tmp_path / "log"))  # type: ignore[arg-type]  # answers any call
    assert [await getattr(store, call)() for call in STORE_CALLS] == list(STORE_CALLS)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("change", [{"allow_failpoints": False}, {"listen_address": "0.0.0.0:7233"}])
def test_production_refuses_them(change: dict[str, object]) -> None:
    allowed: dict[str, object] = {"allow_failpoints": True, "listen_address": "127.0.0.1:0"}
    node = Settings.model_validate({"failpoints": POINTS[0] + "=kill", **allowed})
    assert node.armed() is not None
    participant = {"failpoints": PARTICIPANT_POINTS[0] + "=kill", "database_url": "postgresql://x/y"}
    assert ParticipantSettings.model_validate({**participant, **allowed}).armed() is not None
    with pytest.raises(ValidationError, match="for tests"):
        Settings.model_validate({"failpoints": POINTS[0] + "=kill", **allowed, **change})
    with pytest.raises(ValidationError, match="for tests"):
        ParticipantSettings.model_validate({**participant, **allowed, **change})


def test_nothing_is_put_in_unless_armed() -> None:
    assert Settings().armed() is None
    assert ParticipantSettings.model_validate({"database_url": "postgresql://x/y"}).armed() is None
