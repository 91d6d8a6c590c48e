"""Logs keep what passes through the program to themselves."""

import json as json_format
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from contracts import logs
from contracts.logs import configure_logs
from tests.fixtures.certificates import Authority


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Other tests log as they did."""
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def fail_with_payload() -> None:
    card = "pm_card_" + "secret"
    if card:
        raise ValueError(f"{card} was declined")


@pytest.mark.parametrize("json", [True, False])
def test_a_traceback_names_places_and_shows_neither_variables_nor_texts(
    json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", json=json)
    try:
        fail_with_payload()
    except ValueError:
        structlog.get_logger(__name__).exception("saga_defect", saga_id="1")
    said = capsys.readouterr().err
    assert "fail_with_payload" in said
    assert "ValueError" in said
    assert "pm_card_secret" not in said
    if json:
        assert json_format.loads(said)["event"] == "saga_defect"


def test_a_library_that_says_the_same_without_end_is_cut_short(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    second = [100.0]
    monkeypatch.setattr("contracts.logs.time.monotonic", lambda: second[0])
    configure_logs("info", json=True)
    for _ in range(1000):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("asyncio").error("of another one")
    second[0] += 1
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    said = [json_format.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["logger"] for line in said] == ["uvicorn.error"] * logs.MAX_LINES_PER_S + ["asyncio", "uvicorn.error"]
    assert said[-1]["left_out"] == 1000 - logs.MAX_LINES_PER_S
    assert "left_out" not in said[0]


FAILED_HANDSHAKES = """
import importlib, socket, sys, tempfile
importlib.import_module(sys.argv[1])
import grpc
from concurrent.futures import ThreadPoolExecutor
key, certificate = (open(name, "rb").read() for name in sys.argv[2:])
server = grpc.server(ThreadPoolExecutor(1))
port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
server.start()
for _ in range(5):
    with socket.create_connection(("127.0.0.1", port), 10) as stranger:
        stranger.sendall(b"GARBAGE" * 100)
        try:
            while stranger.recv(1000):
                pass
        except ConnectionError:
            pass
server.stop(None).wait()
"""


@pytest.mark.parametrize("program", ["orchestrator.cli.server", "participants.kit.command"])
def test_handshakes_that_fail_are_not_written_down_one_by_one(program: str, tmp_path: Path) -> None:
    certificate, key = Authority().issue("localhost").write(tmp_path, "server")
    command = [sys.executable, "-c", FAILED_HANDSHAKES, program, str(key), str(certificate)]
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    ended = subprocess.run(command, capture_output=True, timeout=60, check=True, env=environment)
    assert ended.stderr == b""
