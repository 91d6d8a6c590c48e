"""The peers' own environments under ``var/peers``, made from their requirements files when one is first wanted."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.processes import ROOT
from benchmarks.scenarios import Contender

HERE: Final = Path(__file__).parent
ENVIRONMENTS: Final = ROOT / "var" / "peers"
FOLDERS: Final = {Contender.DBOS: "dbos", Contender.RESTATE: "restate", Contender.TEMPORAL: "temporal"}
INSTALL_TIMEOUT_S: Final = 600.0


class PeerMissingError(Exception):
    """A peer's environment could not be made; the message says what failed."""


def python(contender: Contender) -> Path:
    """The interpreter that a contender's own processes run in."""
    folder = FOLDERS.get(contender)
    return Path(sys.executable) if folder is None else _directory(folder) / "bin" / "python"


def program(contender: Contender, name: str) -> Path:
    """A program that the contender's environment brings along."""
    if contender is Contender.RESTATE and name == "restate-server":
        return _directory("restate") / "node_modules/@restatedev/restate-server-linux-x64/bin/restate-server"
    return python(contender).with_name(name)


def provide(folder: str, requirements: Path) -> Path:
    """Makes the environment ``folder``, unless it was made from the same files. Raises ``PeerMissingError``.

    Beside Python packages it installs what a ``package.json`` next to the requirements names, running no scripts.
    """
    directory = _directory(folder)
    package = requirements.with_name("package.json")
    wanted = hashlib.sha256(requirements.read_bytes() + (package.read_bytes() if package.exists() else b"")).hexdigest()
    stamp = directory / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return directory
    _run([sys.executable, "-m", "venv", "--clear", str(directory)])
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--requirement", str(requirements)])
    if package.exists():
        shutil.copy(package, directory)
        npm = shutil.which("npm")
        if npm is None:
            raise PeerMissingError(f"{folder} needs npm, which is not installed")
        _run([npm, "install", "--prefix", str(directory), "--ignore-scripts", "--no-audit", "--no-fund", "--silent"])
    stamp.write_text(wanted)
    return directory


def provide_peer(contender: Contender) -> None:
    """Makes the contender's environment if it has one. Raises ``PeerMissingError``."""
    folder = FOLDERS.get(contender)
    if folder is not None:
        provide(folder, HERE / folder / "requirements.txt")


def _directory(folder: str) -> Path:
    return ENVIRONMENTS / folder


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        subprocess.run(  # noqa: S603  (this interpreter, pip and npm)
            command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, env=environment
        )
    except subprocess.CalledProcessError as error:
        raise PeerMissingError(f"{command[0]} failed: {(error.stderr or error.stdout)[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise PeerMissingError(f"{command[0]} took longer than {INSTALL_TIMEOUT_S:g} s") from error
