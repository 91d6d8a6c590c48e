"""Every definition that a node has loaded, by name, version and digest."""

import importlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

from orchestrator.definitions.errors import DefinitionErrors, Fault
from orchestrator.definitions.loading import load
from orchestrator.definitions.model import Definition
from orchestrator.definitions.saga import Saga


class Registry:
    """Immutable after construction."""

    def __init__(self, definitions: Iterable[Definition]) -> None:
        """Raises :class:`DefinitionErrors` if two definitions have the same name and version."""
        found = tuple(definitions)
        faults = _duplicates(found)
        if faults:
            raise DefinitionErrors(faults)
        self._by_version = {(definition.name, definition.version): definition for definition in found}
        self._by_digest = {definition.digest: definition for definition in found}
        ordered = sorted(found, key=lambda definition: definition.version)
        self._newest = {definition.name: definition for definition in ordered}

    def find(self, name: str, version: int = 0) -> Definition | None:
        """The definition of this name and version; version 0 is the newest."""
        return self._by_version.get((name, version)) if version else self.newest(name)

    def newest(self, name: str) -> Definition | None:
        """The definition of this name with the highest version."""
        return self._newest.get(name)

    def find_digest(self, digest: bytes) -> Definition | None:
        """The definition that a stored saga is pinned to; None if this node lacks it, or has changed it."""
        return self._by_digest.get(digest)

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._by_version.values())

    def __len__(self) -> int:
        return len(self._by_version)


def load_sagas(sagas: Iterable[Saga[Any, Any]]) -> Registry:
    """Load each declaration once. Raises :class:`DefinitionErrors` with the faults of all of them."""
    definitions, faults = _load(sagas)
    if faults:
        raise DefinitionErrors(faults)
    return Registry(definitions)


def load_modules(names: Sequence[str]) -> Registry:
    """Import modules by their dotted names, and load the sagas that they expose.

    A module exposes its tuple ``SAGAS`` or, without one, every :class:`Saga` among its names. A package is not
    searched. Raises :class:`DefinitionErrors` with the faults of all modules and all sagas.
    """
    sagas: list[Saga[Any, Any]] = []
    faults: list[Fault] = []
    for name in names:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            reason = f"importing it raises {type(error).__name__}: {error}; install it, or mend it"
            faults.append(Fault(f'module "{name}"', reason))
            continue
        exposed = _exposed(module)
        if not exposed:
            reason = "it exposes no saga; name one at module level, or list them in SAGAS"
            faults.append(Fault(f'module "{name}"', reason))
        elif not all(isinstance(saga, Saga) for saga in exposed):
            faults.append(Fault(f'module "{name}"', "SAGAS holds something other than a Saga; remove it"))
        else:
            sagas += exposed
    definitions, more_faults = _load(sagas)
    if faults or more_faults:
        raise DefinitionErrors([*faults, *more_faults])
    return Registry(definitions)


def _load(sagas: Iterable[Saga[Any, Any]]) -> tuple[list[Definition], list[Fault]]:
    definitions: list[Definition] = []
    faults: list[Fault] = []
    for saga in dict.fromkeys(sagas):
        try:
            definitions.append(load(saga))
        except DefinitionErrors as errors:
            faults.extend(errors.faults)
    return definitions, faults + _duplicates(definitions)


def _exposed(module: ModuleType) -> list[Any]:
    if hasattr(module, "SAGAS"):
        return list(module.SAGAS)
    return [value for value in vars(module).values() if isinstance(value, Saga)]


def _duplicates(definitions: Sequence[Definition]) -> list[Fault]:
    counts = Counter((definition.name, definition.version) for definition in definitions)
    reason = "definitions have this name and version; give each its own version"
    return [Fault(f'saga "{name}" v{v}', f"{count} {reason}") for (name, v), count in counts.items() if count > 1]
