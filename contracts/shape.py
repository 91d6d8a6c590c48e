"""How deep a request nests, and of how many messages it is made: bounds that no field's rules can state.

A megabyte holds half a million empty messages, and a ``google.protobuf.Any`` hides further levels from the parser. Only
types that allow of either are looked into: those that contain themselves (``google.protobuf.Struct`` does) or an
``Any``, and those with a list of messages or a map that no ``max_items`` bounds. For all others the check is one
dictionary lookup. What the parser itself is given nests at most 100 levels.
"""

from typing import Any, Final, cast

from google.protobuf import any_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from saga.v1 import options_pb2

MAX_DEPTH: Final = 32
"""Levels of messages, the request being the first. The content of an ``Any`` is a level below it."""
MAX_ELEMENTS: Final = 10_000
"""Messages in a request, and entries of its maps."""

_ANY: Final = any_pb2.Any.DESCRIPTOR.full_name

_open: Final[dict[Descriptor, bool]] = {}
"""Whether messages of a type may be deeper or larger than its own contract says; as many as there are types."""


class _MisshapenError(Exception):
    """Its text says what is wrong, without payload."""


def misshapen(message: Message) -> str | None:
    """What is wrong with the shape of a message; None if nothing is."""
    descriptor = cast("Descriptor", message.DESCRIPTOR)  # typed as a union with its implementation
    known = _open.get(descriptor)
    if known is None:
        known = _open[descriptor] = _is_open(descriptor, (), set())
    if not known:
        return None
    try:
        _Walk().into(message, 1)
    except _MisshapenError as error:
        return str(error)
    return None


def _is_open(descriptor: Descriptor, above: tuple[Descriptor, ...], closed: set[Descriptor]) -> bool:
    """``above``: the types that this one stands in; ``closed``: those that were found not to be open."""
    if descriptor in closed:
        return False
    if descriptor in above or descriptor.full_name == _ANY or len(above) >= MAX_DEPTH:
        return True
    below = (*above, descriptor)
    for field in descriptor.fields:
        if field.message_type is not None and (_is_unbounded(field) or _is_open(field.message_type, below, closed)):
            return True
    closed.add(descriptor)
    return False


def _is_unbounded(field: FieldDescriptor) -> bool:
    return field.is_repeated and not field.GetOptions().Extensions[options_pb2.rules].max_items


class _Walk:
    """One look at a message and all that is in it. Raises :class:`_MisshapenError`."""

    def __init__(self) -> None:
        self._elements = 0

    def into(self, message: Message, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _MisshapenError(f"the request nests deeper than {MAX_DEPTH} levels of messages")
        self._count(1)
        if message.DESCRIPTOR.full_name == _ANY:
            self._unpack(cast("any_pb2.Any", message), depth)
            return
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            if field.message_type.GetOptions().map_entry:
                self._into_map(field, value, depth)
            elif field.is_repeated:
                self._count_all(value)
                for each in value:
                    self.into(each, depth + 1)
            else:
                self.into(value, depth + 1)

    def _into_map(self, field: FieldDescriptor, entries: Any, depth: int) -> None:
        self._count_all(entries)
        kind = field.message_type
        if kind is not None and kind.fields_by_name["value"].message_type is not None:
            for each in entries.values():
                self.into(each, depth + 1)

    def _unpack(self, packed: any_pb2.Any, depth: int) -> None:
        """What nobody here can open stays bytes, whose size is bounded."""
        try:
            kind = descriptor_pool.Default().FindMessageTypeByName(packed.TypeName())
        except KeyError:
            return
        try:
            content = message_factory.GetMessageClass(kind).FromString(packed.value)
        except DecodeError:
            raise _MisshapenError(f"an Any in the request does not hold the {kind.full_name} that it names") from None
        self.into(content, depth + 1)

    def _count_all(self, several: Any) -> None:
        """Before any of them is looked at: a list of half a million costs nothing."""
        if self._elements + len(several) > MAX_ELEMENTS:
            self._count(len(several))

    def _count(self, elements: int) -> None:
        self._elements += elements
        if self._elements > MAX_ELEMENTS:
            raise _MisshapenError(f"the request is made of more than {MAX_ELEMENTS} messages and map entries")
