"""Looks every pin of the lock files up among known vulnerabilities: ``python -m supply.audit LOCK… [-- OPTION…]``.

pip-audit does the looking up, and passes over what its source does not know. Here that is a failure: each pin, also one
for another platform, has an answer, or the audit fails and names it. What follows ``--`` goes to pip-audit.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from supply.lock import LockError, Pin, normal, read_lock

TIMEOUT_S: Final = 900.0
_MAX_SHOWN: Final = 10


def faults(pins: Sequence[Pin], report: Any) -> list[str]:
    """What is wrong by pip-audit's report: a vulnerability, or a pin that was not looked up. Empty is a clean audit."""
    found: list[str] = []
    checked: set[tuple[str, str]] = set()
    for package in report["dependencies"]:
        name = normal(package["name"])
        if "skip_reason" in package or not isinstance(package.get("vulns"), list):
            continue
        checked.add((name, package["version"]))
        found += [f"{name} {package['version']}: {_told(vulnerability)}" for vulnerability in package["vulns"]]
    unchecked = sorted({(pin.name, pin.version) for pin in pins} - checked)
    if unchecked:
        shown = ", ".join(f"{name} {version}" for name, version in unchecked[:_MAX_SHOWN])
        more = f", and {len(unchecked) - _MAX_SHOWN} more" if len(unchecked) > _MAX_SHOWN else ""
        found.append(f"{len(unchecked)} of {len(pins)} packages could not be checked: {shown}{more}")
    return found


def audit(pins: Sequence[Pin], options: Sequence[str] = ()) -> list[str]:
    """Runs pip-audit on the pins; returns what is wrong, also if the audit itself is."""
    with tempfile.TemporaryDirectory() as directory:
        # Without markers: what another platform installs is looked up here, too.
        listed = Path(directory) / "pins.txt"
        listed.write_text("".join(f"{pin.name}=={pin.version} --hash=sha256:{pin.hashes[0]}\n" for pin in pins))
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(listed), "--require-hashes", "--disable-pip"]
        try:
            done = subprocess.run(  # noqa: S603  (the command is this module's own, its options the operator's)
                [*command, "--format", "json", "--progress-spinner", "off", *options],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [f"nothing was checked: pip-audit was not done after {TIMEOUT_S:.0f} s"]
    try:
        return faults(pins, json.loads(done.stdout))
    except (ValueError, KeyError, TypeError, AttributeError):
        last = done.stderr.strip().rpartition("\n")[2] or "it said nothing"
        return [f"nothing was checked: pip-audit gave no report (exit code {done.returncode}): {last}"]


def _told(vulnerability: Any) -> str:
    versions = ", ".join(vulnerability.get("fix_versions") or ()) or "none yet"
    return f"{vulnerability.get('id', 'a vulnerability without an id')} (mended in: {versions})"


def main(arguments: Sequence[str]) -> int:
    """0: every pin was looked up, and nothing is known against it. 1: one was not, or something is. 2: used wrongly."""
    paths, options = list(arguments), []
    if "--" in paths:
        paths, options = paths[: paths.index("--")], paths[paths.index("--") + 1 :]
    if not paths:
        sys.stderr.write("name the lock files\n")
        return 2
    failed = False
    for path in paths:
        try:
            pins = read_lock(Path(path))
        except (LockError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 2
        wrong = audit(pins, options)
        failed = failed or bool(wrong)
        for fault in wrong or [f"{len(pins)} packages checked, nothing is known against them"]:
            sys.stdout.write(f"{path}: {fault}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
