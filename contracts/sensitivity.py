"""What a contract marks as personal or secret, the option ``(saga.v1.sensitivity)``: taken out of messages and
of texts."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, cast

from google.protobuf import any_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from saga.v1 import options_pb2

REDACTED: Final = "[redacted]"
MIN_SCRUBBED_CHARS: Final = 4
"""Shorter values are not looked for in texts: they would be found in every other word."""
MAX_SCRUBBED_VALUES: Final = 1000
"""A message that marks more values than this has any text about it replaced as a whole."""


@lru_cache(maxsize=4096)
def sensitivity(field: FieldDescriptor) -> options_pb2.Sensitivity.ValueType:
    """What the contract says of a field; the older ``sensitive`` is as good as secret."""
    options = field.GetOptions().Extensions
    if options[options_pb2.sensitive]:
        return options_pb2.SENSITIVITY_SECRET
    kind: options_pb2.Sensitivity.ValueType = options[options_pb2.sensitivity]
    return kind


def redact(message: Message) -> None:
    """Takes out, in place, what is marked, and what nobody describes: unknown fields, an ``Any`` of unknown type."""
    message.DiscardUnknownFields()
    if isinstance(message, any_pb2.Any):
        _redact_any(message)
        return
    for field, value in message.ListFields():
        if sensitivity(field):
            _hide(message, field)
        else:
            for each in _messages(field, value):
                redact(each)


def scrub(text: str, message: Message) -> str:
    """``text``, written by somebody who knew ``message``, without the marked values of that, nor one cut off."""
    if not text:
        return text
    values: set[str] = set()
    try:
        for value in _marked_texts(message):
            values.add(value)
            if len(values) > MAX_SCRUBBED_VALUES:
                return REDACTED
    except (RecursionError, DecodeError):
        return REDACTED  # what it holds cannot be told
    sought = sorted((value for value in values if len(value) >= MIN_SCRUBBED_CHARS), key=len, reverse=True)
    if not sought:
        return text
    whole = "|".join(re.escape(value) for value in sought if len(value) <= len(text))
    clean = re.sub(whole, REDACTED, text, flags=re.IGNORECASE) if whole else text
    for value in sought:
        for length in range(min(len(value) - 1, len(clean)), MIN_SCRUBBED_CHARS - 1, -1):
            if clean.endswith(value[:length]):
                return clean[:-length] + REDACTED
    return clean


def _hide(message: Message, field: FieldDescriptor) -> None:
    if field.is_extension:
        message.ClearExtension(cast("Any", field))
        return
    message.ClearField(field.name)
    if field.type == FieldDescriptor.TYPE_STRING:
        if field.is_repeated:
            getattr(message, field.name).append(REDACTED)
        else:
            setattr(message, field.name, REDACTED)


def _redact_any(packed: any_pb2.Any) -> None:
    inner = _unpacked(packed)
    if inner is None:
        packed.Clear()
    else:
        redact(inner)
        packed.value = inner.SerializeToString(deterministic=True)


def _unpacked(packed: any_pb2.Any) -> Message | None:
    try:
        inner = GetMessageClass(Default().FindMessageTypeByName(packed.TypeName()))()
        inner.ParseFromString(packed.value)
    except (KeyError, DecodeError):
        return None
    return inner


def _messages(field: FieldDescriptor, value: Any) -> Iterator[Message]:
    """The messages in a field's value: one, several, those in a map, or none."""
    kind = field.message_type
    if kind is None:
        return
    if not field.is_repeated:
        yield value
    elif not kind.GetOptions().map_entry:
        yield from value
    elif kind.fields_by_name["value"].message_type is not None:
        yield from value.values()


def _marked_texts(message: Message) -> Iterator[str]:
    """Every marked string in a message, and every string within a marked message."""
    if isinstance(message, any_pb2.Any):
        inner = _unpacked(message)
        if inner is not None:
            yield from _marked_texts(inner)
        return
    for field, value in message.ListFields():
        if sensitivity(field):
            yield from _texts(field, value)
        else:
            for each in _messages(field, value):
                yield from _marked_texts(each)


def _texts(field: FieldDescriptor, value: Any) -> Iterator[str]:
    for each in _messages(field, value):
        for inner, held in each.ListFields():
            yield from _texts(inner, held)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key, held in value.items():
            yield from (str(each) for each in (key, held) if isinstance(each, str))
    elif field.type == FieldDescriptor.TYPE_STRING:
        yield from value if field.is_repeated else [value]
    elif field.type == FieldDescriptor.TYPE_BYTES:
        for each in value if field.is_repeated else [value]:
            yield from (each.hex(), each.decode(errors="replace"))
