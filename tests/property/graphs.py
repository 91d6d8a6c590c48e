"""Random definitions that load would accept: the pivot rule holds, everything else is left to the tape."""

from typing import Final

from orchestrator.core.definition import RetryPolicy, SagaSpec
from orchestrator.core.graph import ancestors
from tests.property.tape import Tape
from tests.unit.core.build import C, Node, P, Q, R, saga

MAX_STEPS: Final = 8
RETRY: Final = RetryPolicy(initial_backoff_s=1.0, max_backoff_s=4.0, max_attempts=3, budget_s=120.0)


def draw_spec(tape: Tape, *, barriers_only: bool = False) -> SagaSpec:
    """Up to eight steps; at most one pivot, its ancestors compensatable, all others its descendants and retriable."""
    count = 1 + tape.pick(MAX_STEPS)
    pivot = tape.pick(count) if tape.pick(2) else None
    nodes: list[Node] = []
    for index in range(count):
        read_only = index != pivot and tape.chance(20)
        kind = Q if read_only else C if pivot is None or index < pivot else P if index == pivot else R
        before = {earlier for earlier in range(index) if tape.chance(40)}
        if kind is P:
            before |= {i for i in range(index) if nodes[i].kind is C and i not in _reached(nodes, before)}
        elif kind is R and pivot is not None and pivot not in _reached(nodes, before):
            before.add(pivot)
        has_barrier = barriers_only or not tape.chance(15)
        after = " ".join(nodes[i].name for i in sorted(before))
        nodes.append(Node(f"s{index}", kind, after, barrier=has_barrier, retry=RETRY))
    return saga(*nodes, deadline_s=3600.0)


def _reached(nodes: list[Node], before: set[int]) -> set[int]:
    """``before`` and everything that it follows from."""
    spec = saga(*nodes)
    return before.union(*(ancestors(spec, index) for index in before))


def obeys_the_pivot_rule(spec: SagaSpec) -> bool:
    """Said again, from the rule's own words, for the test of the generator."""
    changing = [(index, step.kind) for index, step in enumerate(spec.steps) if step.kind is not Q]
    if spec.pivot is None:
        return all(kind is C for _, kind in changing)
    before = ancestors(spec, spec.pivot)
    return all(
        index == spec.pivot or (kind is C and index in before) or (kind is R and spec.pivot in ancestors(spec, index))
        for index, kind in changing
    )
