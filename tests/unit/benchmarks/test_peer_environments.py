"""The load generator runs in the peers' own environments, and must not need what they lack."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PEERS = ROOT / "benchmarks" / "peers"
IMPORT = """
import json, sys
class Lacking:
    def __init__(self, modules):
        self.modules = modules
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Lacking(set(json.loads(sys.argv[1]))))
import benchmarks.load
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def load_with(provided: set[str]) -> subprocess.CompletedProcess[str]:
    """Imports the load generator where no other distributions than ``provided`` are installed."""
    lacking = [
        module
        for module, found in packages_distributions().items()
        if provided.isdisjoint(normal(each) for each in found)
    ]
    command = [sys.executable, "-c", IMPORT, json.dumps(lacking)]
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}"}
    return subprocess.run(command, env=path, capture_output=True, check=False, text=True, timeout=60)


@pytest.mark.parametrize("peer", sorted(each.parent.name for each in PEERS.glob("*/requirements.txt")))
def test_the_load_generator_finds_what_it_imports(peer: str) -> None:
    listed = (PEERS / peer / "requirements.txt").read_text().splitlines()
    provided = {normal(line.partition("==")[0]) for line in listed if "==" in line}
    loaded = load_with(provided)
    assert loaded.returncode == 0, loaded.stderr
    assert "structlog" in load_with(provided - {"structlog"}).stderr, "what is lacking is noticed"
