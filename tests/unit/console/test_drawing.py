"""Graphs and time lines are laid out so that nothing covers anything."""

import random
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.console.views.axis import Axis, Stretch
from orchestrator.console.views.graph import BOX_HEIGHT, Box, Drawing, lay_out

ORDER = {
    "reserve": (),
    "authorize": (),
    "create_shipment": ("reserve", "authorize"),
    "capture": ("create_shipment", "authorize"),
    "confirm": ("capture", "reserve"),
    "notify": ("capture", "create_shipment"),
}


def _apart(one: Box, other: Box, drawing: Drawing) -> bool:
    return abs(one.x - other.x) >= drawing.box_width or abs(one.y - other.y) >= BOX_HEIGHT


@pytest.mark.parametrize("downwards", [False, True])
def test_an_order_is_drawn_without_edges_that_follow_from_others(downwards: bool) -> None:
    drawing = lay_out(ORDER, downwards=downwards)
    assert {(edge.before, edge.after) for edge in drawing.edges} == {
        ("reserve", "create_shipment"),
        ("authorize", "create_shipment"),
        ("create_shipment", "capture"),
        ("capture", "confirm"),
        ("capture", "notify"),
    }
    along = {box.name: box.y if downwards else box.x for box in drawing.boxes}
    assert all(along[edge.before] < along[edge.after] for edge in drawing.edges)


@given(st.integers(1, 24), st.randoms(use_true_random=False))
def test_boxes_stand_apart_and_inside(size: int, chance: random.Random) -> None:
    graph = {
        f"s{number}": [f"s{before}" for before in range(number) if chance.random() < 0.3] for number in range(size)
    }
    drawing = lay_out(graph)
    assert {box.name for box in drawing.boxes} == set(graph)
    assert all(_apart(one, other, drawing) for one, other in combinations(drawing.boxes, 2))
    assert all(0 <= box.x <= drawing.width - drawing.box_width for box in drawing.boxes)
    assert all(0 <= box.y <= drawing.height - BOX_HEIGHT for box in drawing.boxes)


def test_what_is_no_graph_is_drawn_as_far_as_it_goes() -> None:
    assert lay_out({}).boxes == ()
    assert len(lay_out({"a": ["b"], "b": ["a"], "c": ["none", "c"]}).boxes) == 3
    assert lay_out({str(number): [] for number in range(500)}).boxes == ()


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e3)), max_size=20))
def test_time_goes_from_left_to_right(spans: list[tuple[float, float]]) -> None:
    stretches = [Stretch(1e9 + start_s, 1e9 + start_s + length_s) for start_s, length_s in spans]
    axis = Axis(stretches, 1e9, 1e9 + 2e5)
    times = sorted({1e9, 1e9 + 2e5, *(each.start_s for each in stretches), *(each.end_s for each in stretches)})
    places = [axis.percent(at_s) for at_s in times]
    assert all(one <= other for one, other in pairwise(places))
    assert places[0] == 0
    assert places[-1] == 100
    for each in stretches:
        left, width = axis.bar(each)
        assert left >= 0
        assert width > 0
        assert left + width <= 100.01


def test_a_long_wait_leaves_room_for_milliseconds() -> None:
    attempts = [Stretch(10.0, 10.08), Stretch(10.1, 10.18), Stretch(3610.0, 3610.08)]
    axis = Axis(attempts, 10.0, 3610.08)
    assert all(axis.bar(attempt)[1] > 10 for attempt in attempts)
    assert [fold.label for fold in axis.folds] == ["1 h"]
