"""Field rules against the shipped contracts and against types made for the test."""

from itertools import count
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from inventory.v1 import inventory_pb2
from orders.v1 import orders_pb2
from saga.v1 import options_pb2, saga_service_pb2

from contracts.rules import Violation, check_rules, violations

FIELD = descriptor_pb2.FieldDescriptorProto
_packages = count()


def order() -> orders_pb2.PlaceOrderRequest:
    """A valid order."""
    request = orders_pb2.PlaceOrderRequest(
        request_id="r", order_id="o", customer_id="c", warehouse_id="w", payment_method="pm_card_visa"
    )
    request.lines.add(sku="SKU-1", quantity=1)
    request.total.currency_code = "EUR"
    request.ship_to.recipient = "R"
    request.ship_to.address_lines.append("Street 1")
    request.ship_to.locality = "L"
    request.ship_to.region_code = "DE"
    return request


def make(*fields: tuple[str, int, dict[str, Any]]) -> type[Any]:
    """A message type ``M`` in a package of its own: fields as (name, type, rules).

    Beside the rules: ``label``, ``optional``, and ``itself`` for a field of type ``M``.
    """
    package = f"rules_test_{next(_packages)}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.append("saga/v1/options.proto")
    message = file.message_type.add(name="M")
    for number, (field_name, kind, rules) in enumerate(fields, start=1):
        rest = dict(rules)
        field = message.field.add(name=field_name, number=number, type=kind, label=rest.pop("label", 1))
        if rest.pop("itself", False):
            field.type_name = f".{package}.M"
        if rest.pop("optional", False):
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field_name}")
        field.options.Extensions[options_pb2.rules].CopyFrom(options_pb2.FieldRules(**rest))
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.M"))


def broken(message: Any) -> list[str]:
    return [violation.field for violation in violations(message)]


def test_valid_order_breaks_nothing() -> None:
    assert violations(order()) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda o: o.ClearField("request_id"), "request_id"),
        (lambda o: setattr(o, "request_id", "x" * 129), "request_id"),
        (lambda o: setattr(o, "payment_method", "4111111111111111"), "payment_method"),
        (lambda o: setattr(o, "payment_method", "pm_x\n"), "payment_method"),
        (lambda o: o.ClearField("lines"), "lines"),
        (lambda o: o.lines.add(sku="SKU-1", quantity=2), "lines"),
        (lambda o: o.lines.add(sku="SKU-2", quantity=0), "lines[1].quantity"),
        (lambda o: o.lines.add(sku="sku", quantity=1), "lines[1].sku"),
        (lambda o: o.lines.extend([o.lines[0]] * 100), "lines"),
        (lambda o: o.ClearField("total"), "total"),
        (lambda o: setattr(o.total, "amount_minor", -1), "total.amount_minor"),
        (lambda o: o.ship_to.address_lines.append("x" * 129), "ship_to.address_lines[1]"),
        (lambda o: o.ship_to.address_lines.extend("abcd"), "ship_to.address_lines"),
        (lambda o: setattr(o.ship_to, "region_code", "GER"), "ship_to.region_code"),
    ],
)
def test_each_rule_names_its_field(change: Any, field: str) -> None:
    request = order()
    change(request)
    assert broken(request) == [field]


def test_all_violations_in_field_order() -> None:
    found = violations(inventory_pb2.ReserveRequest(lines=[inventory_pb2.StockLine()]))
    assert found == [
        Violation("order_id", "must be set"),
        Violation("warehouse_id", "must be set"),
        Violation("lines[0].sku", "must be set"),
        Violation("lines[0].quantity", "must be at least 1"),
    ]


def test_presence_decides_for_optional_fields() -> None:
    kind = make(
        ("number", FIELD.TYPE_INT64, {"gte": 5, "optional": True}),
        ("needed", FIELD.TYPE_BOOL, {"required": True, "optional": True}),
    )
    assert broken(kind(needed=False)) == []
    assert broken(kind(number=4)) == ["number", "needed"]


def test_scalar_lists() -> None:
    kind = make(("tags", FIELD.TYPE_STRING, {"label": 3, "unique_by": ".", "min_len": 2, "max_items": 3}))
    assert broken(kind(tags=["aa", "bb"])) == []
    assert broken(kind(tags=["aa", "aa"])) == ["tags"]
    assert broken(kind(tags=["aa", "b"])) == ["tags[1]"]
    assert broken(kind(tags=["aa", "bb", "cc", "dd"])) == ["tags"]


def test_numbers_bytes_and_nan() -> None:
    kind = make(("x", FIELD.TYPE_DOUBLE, {"gte": 0, "lte": 9}), ("b", FIELD.TYPE_BYTES, {"max_len": 2}))
    assert broken(kind(x=9, b=b"ab")) == []
    assert broken(kind(x=float("nan"), b=b"abc")) == ["x", "b"]


def test_recursive_type() -> None:
    kind = make(
        ("name", FIELD.TYPE_STRING, {"required": True}),
        ("children", FIELD.TYPE_MESSAGE, {"label": 3, "itself": True, "max_items": 2}),
    )
    tree = kind(name="a", children=[kind(name="b", children=[kind()])])
    assert broken(tree) == ["children[0].children[0].name"]


def test_patterns_know_ascii_only() -> None:
    kind = make(("code", FIELD.TYPE_STRING, {"pattern": r"\d+"}))
    assert broken(kind(code="12")) == []
    assert broken(kind(code="١٢")) == ["code"]


@pytest.mark.parametrize(
    ("kind", "rules", "message"),
    [
        (FIELD.TYPE_INT32, {"pattern": "a"}, "pattern cannot hold"),
        (FIELD.TYPE_INT32, {"min_len": 1}, "min_len cannot hold"),
        (FIELD.TYPE_STRING, {"gte": 1}, "gte cannot hold"),
        (FIELD.TYPE_STRING, {"min_items": 1}, "min_items cannot hold"),
        (FIELD.TYPE_BYTES, {"pattern": "a"}, "pattern cannot hold"),
        (FIELD.TYPE_BOOL, {"lte": 1}, "lte cannot hold"),
        (FIELD.TYPE_STRING, {"pattern": "("}, "malformed"),
        (FIELD.TYPE_STRING, {"min_len": 3, "max_len": 2}, "no length"),
        (FIELD.TYPE_INT32, {"gte": 3, "lte": 2}, "no number"),
        (FIELD.TYPE_STRING, {"label": 3, "min_items": 3, "max_items": 2}, "no size"),
        (FIELD.TYPE_STRING, {"label": 3, "unique_by": "sku"}, "unique_by needs"),
        (FIELD.TYPE_MESSAGE, {"itself": True, "max_len": 2}, "max_len cannot hold"),
        (FIELD.TYPE_MESSAGE, {"itself": True, "label": 3, "unique_by": "nothing"}, "unique_by needs"),
        (FIELD.TYPE_MESSAGE, {"itself": True, "label": 3, "unique_by": "."}, "compares scalars"),
    ],
)
def test_impossible_rule_is_refused_every_time(kind: int, rules: dict[str, Any], message: str) -> None:
    made = make(("f", kind, rules))
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            check_rules(made.DESCRIPTOR)
    with pytest.raises(ValueError, match=r"\.M\.f"):
        violations(made())


def test_every_shipped_request_compiles() -> None:
    for module in (orders_pb2, inventory_pb2, saga_service_pb2):
        for descriptor in module.DESCRIPTOR.message_types_by_name.values():
            check_rules(descriptor)
