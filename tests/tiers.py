"""Which folder of tests stands in which tier: ``python -m tests.tiers test`` prints the paths for pytest."""

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent
TIERS: Final = {
    # Python packages only, minutes.
    "test": ("unit", "property", "simulation", "conformance", "integration", "security"),
    # Whole processes killed, stopped and cut off; what needs system packages belongs here too.
    "test-system": ("system", "console"),
    # Faults of every class, and defects planted in the children; needs strace and libfaketime, and root for two.
    "test-chaos": ("chaos",),
}


def folders(tier: str) -> list[str]:
    """Paths of a tier's folders. Raises ``LookupError`` if a folder with tests stands in none or in two tiers."""
    placed = [name for names in TIERS.values() for name in names]
    tested = {path.relative_to(ROOT).parts[0] for path in ROOT.rglob("test_*.py")}
    if astray := sorted(name for name in tested if placed.count(name) != 1):
        raise LookupError(f"tests/tiers.py must name each of these in exactly one tier: {', '.join(astray)}")
    return [f"tests/{name}" for name in TIERS[tier] if name in tested]


if __name__ == "__main__":
    sys.stdout.write(" ".join(folders(sys.argv[1])) + "\n")
