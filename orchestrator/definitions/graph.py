"""The graph of a definition: its order, its cycles, and where a pivot lets which kinds of step stand."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from orchestrator.core.definition import StepKind
from orchestrator.definitions.policies import Report

Edges: TypeAlias = Mapping[str, frozenset[str]]
"""The predecessors of each step, in order of declaration."""


def topological(edges: Edges) -> tuple[str, ...]:
    """The steps, each after its predecessors; among those that are free, in order of declaration.

    Shorter than ``edges`` if there is a cycle: it then lacks the steps on it and behind it.
    """
    placed: dict[str, None] = {}
    while True:
        free = next((name for name, before in edges.items() if name not in placed and before <= placed.keys()), None)
        if free is None:
            return tuple(placed)
        placed[free] = None


def find_cycle(edges: Edges) -> tuple[str, ...]:
    """Steps that wait for each other, each for the next and the last for the first; empty if there are none."""
    unplaced = set(edges) - set(topological(edges))
    path: list[str] = []
    name = next((name for name in edges if name in unplaced), None)
    while name is not None and name not in path:
        path.append(name)
        name = min(edges[name] & unplaced)
    return tuple(path[path.index(name) :]) if name is not None else ()


def ancestors(edges: Edges) -> Mapping[str, frozenset[str]]:
    """All that must succeed before each step. The graph must have no cycle."""
    above: dict[str, frozenset[str]] = {}
    for name in topological(edges):
        above[name] = edges[name].union(*(above[before] for before in edges[name]))
    return above


def check_kinds(edges: Edges, kinds: Mapping[str, StepKind], report: Report) -> None:
    """The pivot rule: what comes before it can be undone, and everything else comes after it and must go through."""
    pivots = [name for name in edges if kinds[name] is StepKind.PIVOT]
    if len(pivots) > 1:
        report(f"it has {len(pivots)} pivots ({', '.join(pivots)}); a saga has at most one point of no return")
        return
    above = ancestors(edges)
    if not pivots:
        for name in _of_kind(edges, kinds, StepKind.RETRIABLE):
            report(f"step {name!r} is retriable but there is no pivot; declare a pivot, or make it compensatable")
        return
    pivot = pivots[0]
    for name in _of_kind(edges, kinds, StepKind.RETRIABLE):
        if name in above[pivot]:
            report(f"step {name!r} is retriable but comes before the pivot {pivot!r}; make it compensatable")
        elif pivot not in above[name]:
            report(f"step {name!r} is retriable but may run before the pivot {pivot!r}; add after=({pivot!r},)")
    for name in _of_kind(edges, kinds, StepKind.COMPENSATABLE):
        if pivot in above[name]:
            report(f"step {name!r} is compensatable but comes after the pivot {pivot!r}; make it retriable")
        elif name not in above[pivot]:
            report(
                f"step {name!r} is compensatable but may run after the pivot {pivot!r}; "
                f"add after=({name!r},) to the pivot"
            )


def _of_kind(edges: Edges, kinds: Mapping[str, StepKind], kind: StepKind) -> Sequence[str]:
    return [name for name in edges if kinds[name] is kind]
