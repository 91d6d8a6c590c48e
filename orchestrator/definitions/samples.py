"""Generated messages with every field filled, to try builders on at load. The same type gives the same message."""

from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from saga.v1 import options_pb2

MAX_DEPTH: Final = 6
"""Messages nested deeper, which a recursive type has without end, stay unset."""
ELEMENTS: Final = 2
"""Length of every list; the contract's own bounds are honoured where they ask for another."""
MAX_ELEMENTS: Final = 16

_SAMPLE_TIME_S: Final = 1_700_000_000
_OPAQUE: Final = frozenset({"google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.FieldMask"})
"""No value of these is plausible without knowing what they are for."""


def sample(message_type: type[Message]) -> Message:
    """A message with every field set, recursively; of a oneof, the first member."""
    message = message_type()
    _fill(message, MAX_DEPTH, 1)
    return message


def _fill(message: Any, depth: int, nth: int) -> None:
    descriptor: Descriptor = message.DESCRIPTOR
    if descriptor.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        message.seconds = _SAMPLE_TIME_S + nth if descriptor.name == "Timestamp" else 60 * nth
        return
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.fields[0] is not field and len(oneof.fields) > 1:
            continue
        if field.message_type is not None:
            _fill_message_field(message, field, depth, nth)
        elif field.is_repeated:
            values = [_scalar(field, n) for n in range(1, _length(field) + 1)]
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, _scalar(field, nth))


def _fill_message_field(message: Any, field: FieldDescriptor, depth: int, nth: int) -> None:
    held_type = field.message_type
    if held_type is None or depth == 0 or held_type.full_name in _OPAQUE:
        return
    value = getattr(message, field.name)
    if held_type.GetOptions().map_entry:
        key, held = held_type.fields_by_name["key"], held_type.fields_by_name["value"]
        if held.message_type is not None:
            _fill(value[_scalar(key, 1)], depth - 1, nth)
        else:
            value[_scalar(key, 1)] = _scalar(held, 1)
    elif field.is_repeated:
        for n in range(1, _length(field) + 1):
            _fill(value.add(), depth - 1, n)
    else:
        value.SetInParent()
        _fill(value, depth - 1, nth)


def _scalar(field: FieldDescriptor, nth: int) -> Any:
    rules = _rules(field)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return True
        case FieldDescriptor.CPPTYPE_ENUM:
            return _enum_value(field.enum_type)
        case FieldDescriptor.CPPTYPE_STRING:
            text = f"{field.name}-{nth}".ljust(rules.min_len, "x")
            text = text[-rules.max_len :] if rules.max_len else text
            return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        case _:
            number = max(nth, rules.gte) if rules.HasField("gte") else nth
            number = min(number, rules.lte) if rules.HasField("lte") else number
            floating = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
            return float(number) if field.cpp_type in floating else number


def _enum_value(enum: EnumDescriptor | None) -> int:
    assert enum is not None
    numbers = [value.number for value in enum.values]
    return next((number for number in numbers if number != 0), 0)


def _length(field: FieldDescriptor) -> int:
    rules = _rules(field)
    length = max(ELEMENTS, rules.min_items)
    return min(length, rules.max_items or MAX_ELEMENTS, MAX_ELEMENTS)


def _rules(field: FieldDescriptor) -> options_pb2.FieldRules:
    return field.GetOptions().Extensions[options_pb2.rules]
