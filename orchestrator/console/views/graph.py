"""Where the steps of a saga stand on the drawing: layers by longest path, edges that cross a layer get a lane in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

BOX_WIDTH: Final = 168
BOX_WIDTH_DOWNWARDS: Final = 144
"""Two beside each other fit a phone."""
BOX_HEIGHT: Final = 62
GAP_LAYERS: Final = 46
GAP_LANES: Final = 16
LANE: Final = 14
"""Height of the lane of an edge that passes a layer."""
MARGIN: Final = 6
MAX_DRAWN: Final = 200
"""Steps; a larger graph is only listed."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a step stands: left, top, in pixels."""

    name: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Edge:
    """From a step to one that waits for it; ``path`` is SVG's ``d``."""

    before: str
    after: str
    path: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph that is laid out, from left to right or from top to bottom."""

    width: int
    height: int
    box_width: int
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]


@dataclass(slots=True)
class _Slot:
    """A step, or the lane of an edge, in a layer."""

    name: str
    is_step: bool
    before: "list[_Slot]" = field(default_factory=list)
    order: float = 0.0
    along: int = 0
    across: int = 0


def lay_out(after: Mapping[str, Sequence[str]], *, downwards: bool = False) -> Drawing:
    """``after`` maps each step to those that must succeed first. Unknown names and cycles are ignored, not refused."""
    if not 0 < len(after) <= MAX_DRAWN:
        return Drawing(0, 0, 0, (), ())
    needs = _reduced({name: [one for one in before if one in after and one != name] for name, before in after.items()})
    depth = _depths(needs)
    layers, chains = _slots(needs, depth)
    _order(layers)
    size = (BOX_HEIGHT, BOX_WIDTH_DOWNWARDS) if downwards else (BOX_WIDTH, BOX_HEIGHT)
    across = _place(layers, size)
    along = 2 * MARGIN + len(layers) * size[0] + (len(layers) - 1) * GAP_LAYERS
    boxes = tuple(
        Box(slot.name, slot.across, slot.along) if downwards else Box(slot.name, slot.along, slot.across)
        for layer in layers
        for slot in layer
        if slot.is_step
    )
    edges = tuple(Edge(chain[0].name, chain[-1].name, _path(chain, size, downwards)) for chain in chains)
    width, height = (across, along) if downwards else (along, across)
    return Drawing(width, height, BOX_WIDTH_DOWNWARDS if downwards else BOX_WIDTH, boxes, edges)


def _depths(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    depth = dict.fromkeys(needs, 0)
    for _ in needs:  # as many rounds as the longest path could have; a cycle stops there
        before = dict(depth)
        for name, needed in needs.items():
            depth[name] = min(max((depth[one] + 1 for one in needed), default=0), len(needs) - 1)
        if depth == before:
            break
    return depth


def _reduced(needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Without the edges that follow from others."""
    reach: dict[str, set[str]] = {}

    def reached(name: str, path: frozenset[str]) -> set[str]:
        if name not in reach:
            found: set[str] = set()
            for one in needs[name]:
                if one not in path:
                    found |= {one} | reached(one, path | {name})
            reach[name] = found
        return reach[name]

    return {
        name: [
            one
            for one in needed
            if not any(one in reached(other, frozenset({name})) for other in needed if other != one)
        ]
        for name, needed in needs.items()
    }


def _slots(needs: Mapping[str, Sequence[str]], depth: Mapping[str, int]) -> tuple[list[list[_Slot]], list[list[_Slot]]]:
    layers: list[list[_Slot]] = [[] for _ in range(max(depth.values()) + 1)]
    steps = {name: _Slot(name, is_step=True) for name in needs}
    for name, slot in steps.items():
        layers[depth[name]].append(slot)
    chains: list[list[_Slot]] = []
    for name, needed in needs.items():
        for one in needed:
            if depth[one] >= depth[name]:
                continue  # part of a cycle
            chain = [steps[one]]
            for layer in range(depth[one] + 1, depth[name]):
                lane = _Slot(f"{one}>{name}", is_step=False, before=[chain[-1]])
                layers[layer].append(lane)
                chain.append(lane)
            steps[name].before.append(chain[-1])
            chain.append(steps[name])
            chains.append(chain)
    return [layer for layer in layers if layer], chains


def _order(layers: list[list[_Slot]]) -> None:
    """Each slot stands near the middle of what it waits for; otherwise in the order of the definition."""
    for layer in layers:
        for number, slot in enumerate(layer):
            places = [one.order for one in slot.before]
            slot.order = sum(places) / len(places) if places else number / len(layer)
        layer.sort(key=lambda slot: slot.order)
        for number, slot in enumerate(layer):
            slot.order = (number + 0.5) / len(layer)


def _place(layers: list[list[_Slot]], size: tuple[int, int]) -> int:
    """Gives every slot its place; returns the extent across the layers."""
    extents = [sum(_extent(slot, size) + GAP_LANES for slot in layer) - GAP_LANES for layer in layers]
    widest = max(extents)
    for number, layer in enumerate(layers):
        position = MARGIN + (widest - extents[number]) // 2
        for slot in layer:
            slot.along = MARGIN + number * (size[0] + GAP_LAYERS)
            slot.across = position
            position += _extent(slot, size) + GAP_LANES
    return widest + 2 * MARGIN


def _extent(slot: _Slot, size: tuple[int, int]) -> int:
    return size[1] if slot.is_step else LANE


def _path(chain: list[_Slot], size: tuple[int, int], downwards: bool) -> str:
    def point(slot: _Slot, along: int) -> tuple[int, int]:
        across = slot.across + _extent(slot, size) // 2
        return (across, along) if downwards else (along, across)

    def text(*points: tuple[int, int]) -> str:
        return " ".join(f"{x},{y}" for x, y in points)

    parts = [f"M{text(point(chain[0], chain[0].along + size[0]))}"]
    for one, other in pairwise(chain):
        start, end = one.along + size[0], other.along
        middle = (start + end) // 2
        parts.append(f"C{text(point(one, middle), point(other, middle), point(other, end))}")
        if not other.is_step:
            parts.append(f"L{text(point(other, other.along + size[0]))}")
    return " ".join(parts)
