"""Definitions to run: the shipped ones, and a few graphs that they do not have. Add your own to :data:`SETS`."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from orchestrator.definitions.registry import Registry, load_modules, load_sagas
from tests.integration.engine import sagas
from tests.simulation.sagas import ALL as ODD

SETS: Final[dict[str, Callable[[], Registry]]] = {
    "shipped": lambda: load_modules(["orchestrator.definitions.shipped"]),
    "shapes": lambda: load_sagas([sagas.line, sagas.fan, sagas.pivoted]),
    "odd": lambda: load_sagas(ODD),
}


@lru_cache
def find_registry(name: str) -> Registry:
    """A named set, or the sagas of modules named with commas between them. Raises ``DefinitionErrors``."""
    return SETS[name]() if name in SETS else load_modules(name.split(","))
