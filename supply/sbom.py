"""Lists what a lock file installs, as CycloneDX 1.6 JSON: ``python -m supply.sbom LOCK > FILE``.

The same lock file and environment give the same bytes: there is no time in it, and its serial number is drawn from the
rest.
"""

import json
import sys
import tomllib
from collections.abc import Sequence
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any, Final, cast
from uuid import NAMESPACE_URL, uuid5

from supply.lock import LockError, Pin, normal, read_lock

PROJECT: Final = Path(__file__).parents[1] / "pyproject.toml"
_MAX_LICENSE_CHARS: Final = 100
"""A longer one in a package's metadata is the text of the license, not its name."""


def sbom(pins: Sequence[Pin], project: dict[str, Any]) -> dict[str, Any]:
    """The list, as JSON. ``project`` is the table of that name in ``pyproject.toml``."""
    root = {
        "type": "application",
        "bom-ref": f"pkg:pypi/{normal(project['name'])}@{project['version']}",
        "name": project["name"],
        "version": project["version"],
        "description": project["description"],
    }
    body = {
        "metadata": {"component": root},
        "components": [_component(pin) for pin in pins],
        "dependencies": _dependencies(pins, normal(project["name"]), root["bom-ref"]),
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(body, sort_keys=True))
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1, **body}


def _reference(pin: Pin) -> str:
    return f"pkg:pypi/{pin.name}@{pin.version}"


def _component(pin: Pin) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _reference(pin),
        "name": pin.name,
        "version": pin.version,
        "purl": _reference(pin),
        "scope": "optional" if pin.marker else "required",
        # Of every file that may be installed for it; which one it is depends on the platform.
        "hashes": [{"alg": "SHA-256", "content": each} for each in sorted(pin.hashes)],
    }
    licenses = _licenses(pin)
    if licenses:
        component["licenses"] = licenses
    if pin.marker:
        component["properties"] = [{"name": "python:marker", "value": pin.marker}]
    return component


def _licenses(pin: Pin) -> list[dict[str, Any]]:
    """As the package itself says; empty if it is not installed here, or says nothing."""
    try:
        told = cast("Message", metadata.metadata(pin.name))  # typed as less than it is
    except metadata.PackageNotFoundError:
        return []
    if told["Version"] != pin.version:
        return []
    expression = told.get("License-Expression")
    if expression:
        return [{"expression": expression}]
    named = [
        each.rpartition(" :: ")[2]
        for each in told.get_all("Classifier") or ()
        if each.startswith("License ::") and each.count(" :: ") > 1
    ]
    if not named:
        named = [
            each for each in (told.get("License"),) if each and len(each) <= _MAX_LICENSE_CHARS and "\n" not in each
        ]
    return [{"license": {"name": each}} for each in sorted(set(named))]


def _dependencies(pins: Sequence[Pin], root: str, root_reference: str) -> list[dict[str, Any]]:
    references = {root: root_reference} | {pin.name: _reference(pin) for pin in pins}
    needs: dict[str, list[str]] = {reference: [] for reference in references.values()}
    for pin in pins:
        for name in pin.via:
            if name in references:
                needs[references[name]].append(_reference(pin))
    return [{"ref": reference, "dependsOn": sorted(set(needed))} for reference, needed in sorted(needs.items())]


def main(arguments: Sequence[str]) -> int:
    """0: written to standard output. 2: used wrongly."""
    try:
        (path,) = arguments
        pins = read_lock(Path(path))
    except (LockError, OSError, ValueError) as error:
        sys.stderr.write(f"name one lock file: {error}\n")
        return 2
    project = tomllib.loads(PROJECT.read_text())["project"]
    sys.stdout.write(json.dumps(sbom(pins, project), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
