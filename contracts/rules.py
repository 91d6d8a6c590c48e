"""Compiles the field rules of a contract, the option ``(saga.v1.rules)``, to plain checks.

A message type is compiled once, with the types it contains. What is left per message is one closure for each field
that has a rule, and a walk into the sub-messages that have any; a type without rules costs one dictionary lookup.
A valid order of two lines takes 10 microseconds, an order of a hundred lines 115 (CPython 3.11).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from saga.v1 import options_pb2

_Test = Callable[[Any], str | None]
"""Takes a field's value; returns what is wrong with it, or None."""
_Walk = Callable[[Any], Iterable["Violation"]]
"""Takes a message or a field's value; returns its violations with paths relative to it."""

_INTEGERS: Final = frozenset(
    {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}
    | {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
)
_NUMBERS: Final = _INTEGERS | {
    FieldDescriptor.CPPTYPE_DOUBLE,
    FieldDescriptor.CPPTYPE_FLOAT,
    FieldDescriptor.CPPTYPE_ENUM,
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule. ``field`` is the path from the checked message, such as ``lines[2].sku``."""

    field: str
    description: str


_walks: Final[dict[Descriptor, _Walk]] = {}


def violations(message: Message) -> list[Violation]:
    """Every broken rule of ``message`` and of the messages in it, in field order; empty if it is valid.

    Raises ``ValueError`` if the contract itself has a rule that cannot hold (see :func:`check_rules`).
    """
    descriptor = cast("Descriptor", message.DESCRIPTOR)  # typed as a union with its implementation
    walk = _walks.get(descriptor) or _compile(descriptor)
    return list(walk(message))


def check_rules(descriptor: Descriptor) -> None:
    """Compiles the rules of a message type. Raises ``ValueError`` naming the field whose rule cannot hold on it."""
    _compile(descriptor)


def _compile(descriptor: Descriptor) -> _Walk:
    compiled: dict[Descriptor, _Walk] = {}
    walk = _compile_message(descriptor, compiled)
    _walks.update(compiled)  # only now: a type with an impossible rule stays uncompiled, and raises every time
    return walk


def _compile_message(descriptor: Descriptor, compiled: dict[Descriptor, _Walk]) -> _Walk:
    walk = _walks.get(descriptor) or compiled.get(descriptor)
    if walk is not None:
        return walk
    fields: list[_Walk] = []

    def walk_fields(message: Message) -> list[Violation]:
        found: list[Violation] = []
        for field in fields:
            broken = field(message)
            if broken:
                found += broken
        return found

    compiled[descriptor] = walk_fields  # before the fields: a recursive type finds itself here
    fields += [walk for field in descriptor.fields if (walk := _compile_field(field, compiled)) is not None]
    return walk_fields


def _has_rules(descriptor: Descriptor, seen: set[Descriptor]) -> bool:
    """True if the type or a type within it has a rule. ``seen`` holds the types already looked into."""
    if descriptor in seen:
        return False
    seen.add(descriptor)
    return any(
        field.GetOptions().HasExtension(options_pb2.rules)
        or (field.message_type is not None and _has_rules(field.message_type, seen))
        for field in descriptor.fields
    )


def _compile_field(field: FieldDescriptor, compiled: dict[Descriptor, _Walk]) -> _Walk | None:
    rules = field.GetOptions().Extensions[options_pb2.rules]
    nested: _Walk | None = None
    if field.message_type is not None and _has_rules(field.message_type, set()):
        nested = _compile_message(field.message_type, compiled)
    if field.is_repeated:
        return _list_walk(field, rules, nested)
    if field.message_type is not None:
        return _message_walk(field, rules, nested)
    tests = _scalar_tests(field, rules)
    if rules.required and not field.has_presence:
        tests.insert(0, lambda value: None if value else "must be set")
    return _scalar_walk(field, tests, required=rules.required)


def _fault(field: FieldDescriptor, reason: str) -> ValueError:
    return ValueError(f"{field.full_name}: {reason}")


def _refuse(field: FieldDescriptor, rules: options_pb2.FieldRules, allowed: set[str]) -> None:
    """Raises ``ValueError`` if a rule is set that is not among ``allowed``."""
    for rule, _ in rules.ListFields():
        if rule.name not in allowed:
            raise _fault(field, f"the rule {rule.name} cannot hold on this field")


def _scalar_tests(field: FieldDescriptor, rules: options_pb2.FieldRules, *, element: bool = False) -> list[_Test]:
    """Tests of a scalar, or of an ``element`` of a list of scalars. The rules of the list itself are not looked at."""
    allowed = {"min_items", "max_items", "unique_by", "required"} if element else {"required"}
    tests: list[_Test] = []
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        is_bytes = field.type == FieldDescriptor.TYPE_BYTES
        _refuse(field, rules, allowed | ({"max_len"} if is_bytes else {"min_len", "max_len", "pattern"}))
        tests += _length_tests(field, rules, "bytes" if is_bytes else "characters")
    elif field.cpp_type in _NUMBERS:
        _refuse(field, rules, allowed | {"gte", "lte"})
        tests += _range_tests(field, rules)
    else:
        _refuse(field, rules, allowed)
    return tests


def _length_tests(field: FieldDescriptor, rules: options_pb2.FieldRules, unit: str) -> list[_Test]:
    tests: list[_Test] = []
    low, high = rules.min_len, rules.max_len
    if low < 0 or high < 0 or (high and low > high):
        raise _fault(field, f"no length is between {low} and {high}")
    if low:
        tests.append(lambda value: None if len(value) >= low else f"must have at least {low} {unit}")
    if high:
        tests.append(lambda value: None if len(value) <= high else f"must have at most {high} {unit}")
    if rules.pattern:
        try:
            # ASCII: in RE2, the syntax of the contract, \d and \w know no other digits and letters.
            matches = re.compile(rules.pattern, re.ASCII).fullmatch
        except re.error as error:
            raise _fault(field, f"the pattern is malformed: {error}") from error
        expectation = f"must match {rules.pattern}"
        tests.append(lambda value: None if matches(value) else expectation)
    return tests


def _range_tests(field: FieldDescriptor, rules: options_pb2.FieldRules) -> list[_Test]:
    tests: list[_Test] = []
    low, high = rules.gte, rules.lte
    if rules.HasField("gte") and rules.HasField("lte") and low > high:
        raise _fault(field, f"no number is between {low} and {high}")
    # Written so that NaN, which compares as false with everything, breaks a bound instead of slipping through.
    if rules.HasField("gte"):
        tests.append(lambda value: None if value >= low else f"must be at least {low}")
    if rules.HasField("lte"):
        tests.append(lambda value: None if value <= high else f"must be at most {high}")
    return tests


def _scalar_walk(field: FieldDescriptor, tests: list[_Test], *, required: bool) -> _Walk | None:
    name, get = field.name, attrgetter(field.name)
    if not tests and not (required and field.has_presence):
        return None

    def walk(message: Message) -> tuple[Violation, ...]:
        value = get(message)
        for test in tests:
            fault = test(value)
            if fault is not None:
                return (Violation(name, fault),)
        return ()

    def walk_if_set(message: Message) -> tuple[Violation, ...]:
        if message.HasField(name):
            return walk(message)
        return (Violation(name, "must be set"),) if required else ()

    return walk_if_set if field.has_presence else walk


def _message_walk(field: FieldDescriptor, rules: options_pb2.FieldRules, nested: _Walk | None) -> _Walk | None:
    _refuse(field, rules, {"required"})
    name, get, required = field.name, attrgetter(field.name), rules.required
    if nested is None and not required:
        return None

    def walk(message: Message) -> Iterable[Violation]:
        if not message.HasField(name):
            return (Violation(name, "must be set"),) if required else ()
        broken = nested(get(message)) if nested is not None else ()
        return [Violation(f"{name}.{each.field}", each.description) for each in broken] if broken else ()

    return walk


def _list_walk(field: FieldDescriptor, rules: options_pb2.FieldRules, nested: _Walk | None) -> _Walk | None:
    """Walks a list or a map; of a map, only its size has rules (its entries are not looked into)."""
    name, get = field.name, attrgetter(field.name)
    whole = _size_tests(field, rules)
    if field.message_type is not None:
        _refuse(field, rules, {"required", "min_items", "max_items", "unique_by"})
        if field.message_type.GetOptions().map_entry:
            nested = None
        elements: list[_Test] = []
    else:
        elements = _scalar_tests(field, rules, element=True)
    if rules.unique_by:
        whole.append(_unique_test(field, rules.unique_by))
    if not whole and not elements and nested is None:
        return None

    def walk(message: Message) -> Iterable[Violation]:
        values = get(message)
        for test in whole:
            fault = test(values)
            if fault is not None:
                return (Violation(name, fault),)
        if nested is not None:
            return _walk_elements(name, nested, values)
        return _test_elements(name, elements, values) if elements else ()

    return walk


def _walk_elements(name: str, nested: _Walk, values: Iterable[Message]) -> list[Violation]:
    found: list[Violation] = []
    for index, value in enumerate(values):
        broken = nested(value)
        if broken:
            found += [Violation(f"{name}[{index}].{each.field}", each.description) for each in broken]
    return found


def _test_elements(name: str, tests: list[_Test], values: Iterable[object]) -> list[Violation]:
    found: list[Violation] = []
    for index, value in enumerate(values):
        for test in tests:
            fault = test(value)
            if fault is not None:
                found.append(Violation(f"{name}[{index}]", fault))
                break
    return found


def _size_tests(field: FieldDescriptor, rules: options_pb2.FieldRules) -> list[_Test]:
    tests: list[_Test] = []
    low, high = max(rules.min_items, 1 if rules.required else 0), rules.max_items
    if rules.min_items < 0 or high < 0 or (high and low > high):
        raise _fault(field, f"no size is between {low} and {high}")
    if low:
        tests.append(lambda values: None if len(values) >= low else f"must have at least {low} elements")
    if high:
        tests.append(lambda values: None if len(values) <= high else f"must have at most {high} elements")
    return tests


def _unique_test(field: FieldDescriptor, unique_by: str) -> _Test:
    if unique_by == ".":
        if field.message_type is not None:
            raise _fault(field, 'unique_by "." compares scalars, not messages')
        return lambda values: None if len(set(values)) == len(values) else "must not repeat an element"
    key = None if field.message_type is None else field.message_type.fields_by_name.get(unique_by)
    if key is None or key.is_repeated or key.message_type is not None:
        raise _fault(field, f"unique_by needs a scalar field of the elements, and {unique_by!r} is none")
    get = attrgetter(unique_by)
    expectation = f"must not repeat {unique_by}"
    return lambda values: None if len(set(map(get, values))) == len(values) else expectation
