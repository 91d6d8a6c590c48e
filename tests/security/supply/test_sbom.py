"""The list of what is installed: whole, the same every time, and CycloneDX by its own schema."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from supply.lock import read_lock

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements.lock"


def listed() -> str:
    command = [sys.executable, "-m", "supply.sbom", str(LOCK)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(scope="module")
def text() -> str:
    return listed()


@pytest.fixture(scope="module")
def sbom(text: str) -> Any:
    return json.loads(text)


def test_it_is_cyclonedx(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"SHA-256"', '"SHA-0"')) is not None


def test_it_is_the_same_every_time(text: str) -> None:
    assert listed() == text


def test_it_lists_every_pin_with_its_hashes(sbom: Any) -> None:
    pins = read_lock(LOCK)
    assert [(each["name"], each["version"]) for each in sbom["components"]] == [(pin.name, pin.version) for pin in pins]
    for component, pin in zip(sbom["components"], pins, strict=True):
        assert {each["content"] for each in component["hashes"]} == set(pin.hashes)
        assert component["purl"] == f"pkg:pypi/{pin.name}@{pin.version}"


def test_it_names_licenses(sbom: Any) -> None:
    licensed = [each["name"] for each in sbom["components"] if each.get("licenses")]
    assert len(licensed) >= 0.8 * len(sbom["components"]), "all but what other platforms install"


def test_it_says_what_needs_what(sbom: Any) -> None:
    needs = {each["ref"].partition("@")[0]: each["dependsOn"] for each in sbom["dependencies"]}
    assert any(each.startswith("pkg:pypi/grpcio@") for each in needs["pkg:pypi/saga-orchestrator"])
    assert any(each.startswith("pkg:pypi/mako@") for each in needs["pkg:pypi/alembic"])
    references = {each["bom-ref"] for each in sbom["components"]}
    assert all(set(each) <= references for each in needs.values())
