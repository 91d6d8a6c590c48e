"""Generated messages are full, bounded, the same each time, and keep the bounds of their contract."""

from google.protobuf import descriptor_pb2, struct_pb2
from inventory.v1.inventory_pb2 import ReserveRequest
from orders.v1.orders_pb2 import PlaceOrderRequest
from saga.v1.saga_service_pb2 import ListSagaEventsResponse

from orchestrator.definitions.samples import MAX_DEPTH, sample
from tests.unit.definitions import odd_contracts as odd


def test_every_field_is_set() -> None:
    order = sample(PlaceOrderRequest)
    assert isinstance(order, PlaceOrderRequest)
    assert {field.name for field, _ in order.ListFields()} == set(PlaceOrderRequest.DESCRIPTOR.fields_by_name)
    assert [line.sku for line in order.lines] == ["sku-1", "sku-2"]  # unique, as the contract asks
    assert order.lines[1].quantity == 2
    assert order.total.amount_minor == 1
    assert order == sample(PlaceOrderRequest)


def test_well_known_types_are_plausible() -> None:
    reserve = sample(ReserveRequest)
    assert isinstance(reserve, ReserveRequest)
    assert reserve.hold.ToSeconds() == 60


def test_recursive_types_end() -> None:
    message, depth = sample(odd.Input), 0
    while message.HasField("child"):
        message, depth = message.child, depth + 1  # type: ignore[attr-defined]  # a type built at run time
    assert depth == MAX_DEPTH
    sample(struct_pb2.Struct)
    sample(descriptor_pb2.FileDescriptorProto)


def test_of_a_oneof_one_member_is_set() -> None:
    events = sample(ListSagaEventsResponse)
    assert isinstance(events, ListSagaEventsResponse)
    for event in events.events:
        for oneof in event.DESCRIPTOR.oneofs:
            assert event.WhichOneof(oneof.name) == oneof.fields[0].name  # type: ignore[arg-type]  # any oneof
