"""The shipped sagas load, look as documented, build what the contracts ask for, and keep their digests."""

import pytest
from google.protobuf.message import Message
from inventory.v1 import inventory_pb2
from orders.v1.orders_pb2 import PlaceOrderRequest, PlaceOrderResponse

from orchestrator.core.definition import PERSISTENT_RETRY, RetryPolicy, StepKind
from orchestrator.definitions.model import Definition
from orchestrator.definitions.registry import Registry, load_modules
from orchestrator.definitions.samples import sample

DIGESTS = {
    1: "f3bcffb898c23a89cf568ef9542aa3868ea1285a46209cfe49ad1650d8bbbc9e",
    2: "0553190c6bedea3ba7687f2c23beadb0a1ae941440f9543361237ca174d8315b",
}
"""A change here orphans every saga that is under way: give the definition a new version instead."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_modules(["orchestrator.definitions.shipped"])


def definition(registry: Registry, version: int) -> Definition:
    found = registry.find("place-order", version)
    assert found is not None
    return found


def graph(found: Definition) -> dict[str, tuple[str, set[str]]]:
    steps = found.spec.steps
    return {step.name: (step.kind.name, {steps[at].name for at in step.predecessors}) for step in steps}


def test_both_versions_are_live_and_the_newest_is_two(registry: Registry) -> None:
    assert len(registry) == 2
    assert registry.newest("place-order") is definition(registry, 2)
    for found in registry:
        assert registry.find_digest(found.digest) is found


@pytest.mark.parametrize("version", [1, 2])
def test_digests_stay(registry: Registry, version: int) -> None:
    assert definition(registry, version).digest.hex() == DIGESTS[version]


def test_version_one_is_linear(registry: Registry) -> None:
    assert graph(definition(registry, 1)) == {
        "reserve": ("COMPENSATABLE", set()),
        "charge": ("COMPENSATABLE", {"reserve"}),
        "ship": ("COMPENSATABLE", {"charge"}),
    }


def test_version_two_has_a_pivot(registry: Registry) -> None:
    found = definition(registry, 2)
    assert graph(found) == {
        "reserve": ("COMPENSATABLE", set()),
        "authorize": ("COMPENSATABLE", set()),
        "create_shipment": ("COMPENSATABLE", {"reserve", "authorize"}),
        "capture": ("PIVOT", {"authorize", "create_shipment"}),
        "confirm_reservation": ("RETRIABLE", {"reserve", "capture"}),
        "notify_carrier": ("RETRIABLE", {"create_shipment", "capture"}),
    }
    assert found.spec.pivot == 3
    assert found.spec.steps[3].kind is StepKind.PIVOT


@pytest.mark.parametrize("version", [1, 2])
def test_edges_lead_forward_and_back(registry: Registry, version: int) -> None:
    steps = definition(registry, version).spec.steps
    for at, step in enumerate(steps):
        assert all(before < at for before in step.predecessors)
        assert all(at in steps[after].predecessors for after in step.successors)
        assert all(at in steps[before].successors for before in step.predecessors)


def test_every_builder_builds_from_what_is_stored(registry: Registry) -> None:
    for found in registry:
        message = found.parse_input(found.store_input(sample(found.input)))
        responses: list[Message | None] = [sample(step.method.response) for step in found.steps]
        for at, step in enumerate(found.steps):
            request = step.method.request.FromString(found.build_action(at, message, responses))
            assert getattr(request, "order_id") == "order_id-1"  # noqa: B009  (messages of any type)
            if step.compensation is not None:
                step.compensation.request.FromString(found.build_compensation(at, message, [None] * len(responses)))
        result = found.parse_output(found.build_result(message, responses))
        assert isinstance(result, PlaceOrderResponse)
        assert result.tracking_number == "tracking_number-1"
        assert found.concurrency_key(message) == "order_id-1"


def test_reservation_is_held_for_fifteen_minutes_in_version_two_alone(registry: Registry) -> None:
    order = PlaceOrderRequest(order_id="o-1", warehouse_id="w-1")
    order.lines.add(sku="SKU-1", quantity=2)
    requests = [
        inventory_pb2.ReserveRequest.FromString(definition(registry, version).build_action(0, order, []))
        for version in (1, 2)
    ]
    assert not requests[0].HasField("hold")
    assert requests[1].hold.seconds == 900
    assert [(line.sku, line.quantity) for line in requests[1].lines] == [("SKU-1", 2)]


def test_the_stored_input_forgets_the_call(registry: Registry) -> None:
    found = definition(registry, 1)
    first = PlaceOrderRequest(order_id="o-1", request_id="a", return_immediately=True)
    second = PlaceOrderRequest(order_id="o-1", request_id="b")
    assert found.store_input(first) == found.store_input(second)
    assert first.request_id == "a"


def test_giving_up_is_put_off_where_it_would_leave_a_saga_stuck(registry: Registry) -> None:
    for step in definition(registry, 2).spec.steps:
        assert step.compensation_retry == PERSISTENT_RETRY
        assert step.retry == (PERSISTENT_RETRY if step.kind is StepKind.RETRIABLE else RetryPolicy()), step.name
