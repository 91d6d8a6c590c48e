"""Order, cycles and the pivot rule, on graphs of names alone; and the faults of a saga as a whole."""

import random
from types import FunctionType
from typing import Any

import pytest
from orders.v1.orders_pb2 import PlaceOrderRequest, PlaceOrderResponse

from orchestrator.core.definition import StepKind
from orchestrator.definitions import graph
from orchestrator.definitions.errors import DefinitionErrors
from orchestrator.definitions.loading import load
from orchestrator.definitions.policies import MAX_STEPS
from orchestrator.definitions.saga import Saga
from tests.unit.definitions.declaring import add_reserve, faults, new_saga

C, P, R, Q = StepKind.COMPENSATABLE, StepKind.PIVOT, StepKind.RETRIABLE, StepKind.READ_ONLY
Nodes = dict[str, tuple[StepKind, str]]


def check(nodes: Nodes) -> list[str]:
    found: list[str] = []
    edges = {name: frozenset(before) for name, (_, before) in nodes.items()}
    graph.check_kinds(edges, {name: kind for name, (kind, _) in nodes.items()}, found.append)
    return found


@pytest.mark.parametrize(
    "nodes",
    [
        {"a": (C, ""), "b": (C, "a"), "c": (C, "")},
        {"a": (C, ""), "b": (P, "a"), "c": (R, "b"), "d": (R, "b")},
        {"a": (P, "")},
        {"a": (Q, ""), "b": (C, "a"), "c": (P, "b"), "d": (Q, "c"), "e": (R, "d"), "f": (Q, "")},
    ],
)
def test_lawful_graphs_pass(nodes: Nodes) -> None:
    assert check(nodes) == []


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ({"a": (P, ""), "b": (P, "a")}, "it has 2 pivots (a, b)"),
        ({"a": (C, ""), "b": (R, "a")}, "step 'b' is retriable but there is no pivot"),
        ({"a": (R, ""), "b": (P, "a")}, "step 'a' is retriable but comes before the pivot 'b'"),
        ({"a": (R, ""), "b": (P, "")}, "step 'a' is retriable but may run before the pivot 'b'; add after=('b',)"),
        ({"a": (P, ""), "b": (C, "a")}, "step 'b' is compensatable but comes after the pivot 'a'"),
        ({"a": (C, ""), "b": (P, "")}, "step 'a' is compensatable but may run after the pivot 'b'"),
        ({"a": (P, ""), "b": (Q, "a"), "c": (C, "b")}, "step 'c' is compensatable but comes after the pivot 'a'"),
    ],
)
def test_unlawful_graphs_are_named(nodes: Nodes, expected: str) -> None:
    (found,) = check(nodes)
    assert expected in found


def test_order_is_topological_and_keeps_the_declared_order() -> None:
    edges = {name: frozenset(before) for name, before in {"d": "c", "b": "", "a": "", "c": "ab"}.items()}
    assert graph.topological(edges) == ("b", "a", "c", "d")
    assert graph.ancestors(edges)["d"] == {"a", "b", "c"}


def test_cycles_are_found_and_spelt() -> None:
    edges = {name: frozenset(before) for name, before in {"a": "", "b": "ad", "c": "b", "d": "c", "e": "d"}.items()}
    cycle = graph.find_cycle(edges)
    assert set(cycle) == {"b", "c", "d"}
    for waiting, awaited in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
        assert awaited in edges[waiting]
    assert graph.find_cycle({"a": frozenset("a")}) == ("a",)


def test_random_graphs_without_cycles_are_ordered() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  (shown if the test fails)
    source = random.Random(seed)
    for _ in range(100):
        names = [f"s{n}" for n in range(source.randint(1, 12))]
        edges = {
            name: frozenset(before for before in names[:at] if source.random() < 0.3) for at, name in enumerate(names)
        }
        shuffled = dict(source.sample(list(edges.items()), len(edges)))
        order = graph.topological(shuffled)
        assert sorted(order) == sorted(names)
        assert graph.find_cycle(shuffled) == ()
        assert all(edges[name] <= set(order[:at]) for at, name in enumerate(order))


def add_pivot(saga: Saga[Any, Any], name: str, **options: Any) -> None:
    template = add_reserve(new_saga(), kind="pivot")
    step = template.builder
    assert isinstance(step, FunctionType)
    renamed = FunctionType(step.__code__, step.__globals__, name, closure=step.__closure__)
    renamed.__annotations__ = step.__annotations__
    saga.step(template.method, **{"kind": "pivot", **options})(renamed)


def test_a_cycle_through_after_is_refused() -> None:
    saga = new_saga()
    add_reserve(saga, kind="pivot", after=("reserve",))
    assert faults(saga) == [
        'saga "trial" v1: its steps wait for each other (reserve after reserve); remove one of the edges'
    ]


def test_after_takes_a_step_declared_later() -> None:
    saga = new_saga()
    add_pivot(saga, "second", kind="retriable", after=("first",))
    add_pivot(saga, "first")
    found = load(saga)
    assert [step.name for step in found.spec.steps] == ["first", "second"]
    assert found.spec.pivot == 0


def test_the_number_of_steps_is_bounded() -> None:
    assert "it has 0 steps; a saga has 1 to 64" in faults(new_saga())[0]
    saga = new_saga()
    add_pivot(saga, "pivot")
    for number in range(MAX_STEPS):
        add_pivot(saga, f"step{number}", kind="retriable", after=("pivot",))
    (found,) = faults(saga)
    assert "it has 65 steps" in found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"version": True}, "version is True"),
        ({"version": 2**31}, "version is 2147483648"),
        ({"deadline_s": float("inf")}, "deadline_s is inf"),
        ({"deadline_s": "60"}, "deadline_s is '60'"),
        ({"input": str}, "input is <class 'str'>; give the class of a generated protobuf message"),
        ({"input": PlaceOrderRequest()}, "input is ; give"),
        ({"output": PlaceOrderResponse}, "its output is orders.v1.PlaceOrderResponse, but nothing builds it"),
        ({"concurrency_key": lambda order: order.nothing}, "the concurrency key raises AttributeError"),
        ({"concurrency_key": lambda order: 7}, "the concurrency key is a int"),
        ({"concurrency_key": lambda order: ""}, "the concurrency key has 0 characters"),
        ({"concurrency_key": str.upper}, "the concurrency key raises TypeError"),
        ({"concurrency_key": lambda order: order.request_id}, "the concurrency key has 0 characters"),
    ],
)
def test_faults_of_the_saga_itself(options: dict[str, Any], expected: str) -> None:
    saga = new_saga(**options)
    add_reserve(saga)
    assert any(expected in fault for fault in faults(saga)), faults(saga)


@pytest.mark.parametrize("name", ["", "Place", "place order", "1st", "x" * 65, 7])
def test_names_are_checked(name: Any) -> None:
    saga: Saga[Any, Any] = Saga(name, version=1, input=PlaceOrderRequest)
    add_reserve(saga)
    with pytest.raises(DefinitionErrors, match="must match"):
        load(saga)


def test_result_needs_an_output_and_one_builder() -> None:
    def placed(order: PlaceOrderRequest) -> PlaceOrderResponse:
        return PlaceOrderResponse()

    saga = new_saga()
    add_reserve(saga)
    saga.result(placed)
    assert any("it has a result builder, but no output" in fault for fault in faults(saga))

    saga = new_saga(output=PlaceOrderResponse)
    add_reserve(saga)
    saga.result(placed)
    saga.result(placed)
    assert any("it has 2 result builders" in fault for fault in faults(saga))


def test_two_concurrency_keys_are_refused() -> None:
    saga = new_saga(concurrency_key=lambda order: order.order_id)
    saga.concurrency_key(lambda order: order.customer_id)
    add_reserve(saga)
    assert any("it has two concurrency keys" in fault for fault in faults(saga))
