"""Reads a lock file of ``make lock``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PIN: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)(?: *; *(?P<marker>[^\\]*?))? *\\?$"
)
_HASH: Final = re.compile(r"--hash=sha256:(?P<sha256>[0-9a-f]{64}) *\\?$")
_VIA: Final = re.compile(r"# +(?:via +)?(?P<name>[A-Za-z0-9._-]+)(?: \(.*\))?$")


class LockError(ValueError):
    """A lock file has a line that is no pin, or a pin without hashes: nothing is known of what it would install."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One package: ``hashes`` (SHA-256, hexadecimal) are those of its files, ``via`` the packages that need it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    via: tuple[str, ...]


def read_lock(path: Path) -> list[Pin]:
    """The pins of a file, in its order. Raises :class:`LockError` and ``OSError``."""
    blocks: list[list[str]] = []
    for line in path.read_text().splitlines():
        if line and line[0] not in " #":
            blocks.append([line])
        elif blocks and line.strip():
            blocks[-1].append(line.strip())
    if not blocks:
        raise LockError(f"{path}: it pins nothing")
    return [_pin(path, block) for block in blocks]


def _pin(path: Path, block: list[str]) -> Pin:
    found = _PIN.match(block[0])
    if found is None:
        raise LockError(f"{path}: {block[0]!r} is no pin, NAME==VERSION")
    hashes = tuple(match["sha256"] for line in block[1:] if (match := _HASH.match(line)))
    if not hashes:
        raise LockError(f"{path}: {found['name']} has no hashes")
    comments = [line for line in block[1:] if line.startswith("#") and " -c " not in line and line[2:] != "via"]
    via = tuple(match["name"] for line in comments if (match := _VIA.match(line)))
    return Pin(
        normal(found["name"]), found["version"], (found["marker"] or "").strip(), hashes, tuple(map(normal, via))
    )


def normal(name: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
