"""The audit fails unless each package was looked up and nothing is known against it."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from supply.audit import faults
from supply.lock import Pin

HASH = "0" * 64
PINS = [Pin(name, version, "", (HASH,), ()) for name, version in (("typer", "1.0"), ("only-on-windows", "2.0"))]
LOCK = f"""typer==1.0 \\
    --hash=sha256:{HASH}
only_on.windows==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:{HASH}
"""
KNOWN = {
    "id": "PYSEC-2026-1",
    "summary": "breaks",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "typer"}, "versions": ["1.0"]}],
}
WAIT_S = 60.0


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages), "fixes": []}


CLEAN = {"name": "typer", "version": "1.0", "vulns": []}
OTHER = {"name": "Only_on.Windows", "version": "2.0", "vulns": []}


def test_a_report_on_every_pin_is_clean() -> None:
    assert faults(PINS, report(CLEAN, OTHER)) == []


@pytest.mark.parametrize(
    ("packages", "named"),
    [
        ([CLEAN], "1 of 2 packages could not be checked: only-on-windows 2.0"),
        ([], "2 of 2 packages could not be checked"),
        ([CLEAN, {"name": "only-on-windows", "skip_reason": "not found"}], "only-on-windows 2.0"),
        ([CLEAN, {**OTHER, "version": "1.9"}], "only-on-windows 2.0"),
        ([CLEAN, {**OTHER, "vulns": None}], "only-on-windows 2.0"),
        ([CLEAN, {**OTHER, "vulns": [{"id": "X-1", "fix_versions": ["3"]}]}], "only-on-windows 2.0: X-1 .*in: 3"),
    ],
)
def test_what_was_not_looked_up_is_not_clean(packages: list[dict[str, Any]], named: str) -> None:
    (fault,) = faults(PINS, report(*packages))
    assert re.search(named, fault)


@contextmanager
def source(answer: Callable[[str], tuple[int, Any]]) -> Iterator[str]:
    """A source of vulnerabilities in OSV's protocol: ``answer`` takes a package's name, returns status and JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(asked["package"]["name"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Keeps quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join(WAIT_S)


def audited(tmp_path: Path, *options: str) -> tuple[int, str]:
    lock = tmp_path / "some.lock"
    lock.write_text(LOCK)
    done = subprocess.run(
        [sys.executable, "-m", "supply.audit", str(lock), "--", "--timeout", "5", *options],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_source_that_knows_nothing_against_them(tmp_path: Path) -> None:
    asked = []

    def answer(name: str) -> tuple[int, Any]:
        asked.append(name)
        return 200, {}

    with source(answer) as url:
        code, said = audited(tmp_path, "--vulnerability-service", "osv", "--osv-url", url)
    assert (code, sorted(asked)) == (0, ["only-on-windows", "typer"]), said
    assert "2 packages checked" in said


def test_a_vulnerability_fails_it(tmp_path: Path) -> None:
    with source(lambda name: (200, {"vulns": [KNOWN]} if name == "typer" else {})) as url:
        code, said = audited(tmp_path, "--vulnerability-service", "osv", "--osv-url", url)
    assert code == 1, said
    assert "typer 1.0: PYSEC-2026-1" in said


@pytest.mark.parametrize("status", [404, 429, 500])
def test_a_source_that_does_not_answer_for_one_fails_it(tmp_path: Path, status: int) -> None:
    with source(lambda name: (200, {}) if name == "typer" else (status, {})) as url:
        code, said = audited(tmp_path, "--vulnerability-service", "osv", "--osv-url", url)
    assert code == 1, said


def test_a_source_that_is_away_fails_it(tmp_path: Path) -> None:
    code, said = audited(tmp_path, "--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:1/v1/query")
    assert code == 1, said
    assert "nothing was checked" in said


def test_used_wrongly_it_fails(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("typer==1.0\n")
    for arguments in ([], [str(lock)], [str(tmp_path / "none.lock")]):
        command = [sys.executable, "-m", "supply.audit", *arguments]
        done = subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False)
        assert done.returncode == 2
