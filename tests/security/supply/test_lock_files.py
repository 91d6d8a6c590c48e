"""What is installed is what was pinned, byte by byte."""

import re
from pathlib import Path

import pytest

from supply.lock import LockError, read_lock

ROOT = Path(__file__).parents[3]
LOCKS = ("requirements.lock", "requirements-dev.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_a_pin_with_hashes(name: str) -> None:
    pins = read_lock(ROOT / name)
    text = (ROOT / name).read_text()
    assert len(pins) == len(re.findall(r"^[^ #\n]", text, re.MULTILINE)) > 40
    assert sum(len(pin.hashes) for pin in pins) == text.count("--hash=sha256:")
    assert len({pin.name for pin in pins}) == len(pins)


def test_a_server_runs_the_versions_that_were_tested() -> None:
    tested = {pin.name: (pin.version, pin.hashes) for pin in read_lock(ROOT / LOCKS[1])}
    for pin in read_lock(ROOT / LOCKS[0]):
        assert tested[pin.name] == (pin.version, pin.hashes)


def test_whatever_is_installed_has_its_hashes_checked() -> None:
    """One script installs, in CI, for developers and in the image; and it checks."""
    installs = [line for line in (ROOT / ".ci/environment").read_text().splitlines() if "pip install" in line]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    for name in ("Makefile", "Dockerfile", ".ci/run", ".ci/packages", ".ci/lock"):
        assert "pip install" not in (ROOT / name).read_text(), name


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "typer==1.0\n", "typer>=1.0 --hash=sha256:00\n", "-e .\n", "https://example.com/typer.whl\n"],
)
def test_what_is_no_pin_with_hashes_is_refused(tmp_path: Path, text: str) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(text)
    with pytest.raises(LockError):
        read_lock(lock)
