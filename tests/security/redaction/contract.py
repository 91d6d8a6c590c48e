"""A contract that marks every shape of field, made at run time."""

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from saga.v1 import options_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto
_PERSONAL = options_pb2.SENSITIVITY_PERSONAL
_SECRET = options_pb2.SENSITIVITY_SECRET
_FILE = "tests/security/redaction/contract.proto"


def _field(kind: Any, name: str, number: int, type_: Any, sensitivity: Any = None, **more: Any) -> None:
    label = more.pop("label", _FIELD.LABEL_OPTIONAL)
    field = kind.field.add(name=name, number=number, type=type_, label=label, **more)
    if sensitivity is not None:
        field.options.Extensions[options_pb2.sensitivity] = sensitivity


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package="redaction.v1", syntax="proto3")
    file.dependency.append("google/protobuf/any.proto")
    many = {"label": _FIELD.LABEL_REPEATED}
    inner = file.message_type.add(name="Inner")
    _field(inner, "open", 1, _FIELD.TYPE_STRING)
    _field(inner, "email", 2, _FIELD.TYPE_STRING, _PERSONAL)
    outer = file.message_type.add(name="Outer")
    for name in ("tokens", "people"):
        entry = outer.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _field(entry, "key", 1, _FIELD.TYPE_STRING)
        if name == "people":
            _field(entry, "value", 2, _FIELD.TYPE_MESSAGE, type_name=".redaction.v1.Inner")
        else:
            _field(entry, "value", 2, _FIELD.TYPE_STRING)
    _field(outer, "open", 1, _FIELD.TYPE_STRING)
    _field(outer, "key", 2, _FIELD.TYPE_BYTES, _SECRET)
    _field(outer, "phones", 3, _FIELD.TYPE_STRING, _PERSONAL, **many)
    _field(outer, "pin", 4, _FIELD.TYPE_INT32, _SECRET)
    _field(outer, "inner", 5, _FIELD.TYPE_MESSAGE, type_name=".redaction.v1.Inner")
    _field(outer, "inners", 6, _FIELD.TYPE_MESSAGE, type_name=".redaction.v1.Inner", **many)
    _field(outer, "whole", 7, _FIELD.TYPE_MESSAGE, _SECRET, type_name=".redaction.v1.Inner")
    _field(outer, "tokens", 8, _FIELD.TYPE_MESSAGE, _SECRET, type_name=".redaction.v1.Outer.TokensEntry", **many)
    _field(outer, "people", 9, _FIELD.TYPE_MESSAGE, type_name=".redaction.v1.Outer.PeopleEntry", **many)
    _field(outer, "any", 10, _FIELD.TYPE_MESSAGE, type_name=".google.protobuf.Any")
    _field(outer, "old", 11, _FIELD.TYPE_STRING)
    outer.field[-1].options.Extensions[options_pb2.sensitive] = True
    return file


def _types() -> tuple[type[Message], type[Message]]:
    pool = descriptor_pool.Default()
    pool.Add(_file()) if not _known(pool) else None
    outer, inner = (pool.FindMessageTypeByName(f"redaction.v1.{name}") for name in ("Outer", "Inner"))
    return message_factory.GetMessageClass(outer), message_factory.GetMessageClass(inner)


def _known(pool: descriptor_pool.DescriptorPool) -> bool:
    try:
        pool.FindFileByName(_FILE)
    except KeyError:
        return False
    return True


Outer, Inner = _types()


def filled(canary: str) -> Any:
    """A message whose marked values, and those alone, hold the canary (the number is 4321)."""
    inner = {"open": "shown", "email": f"{canary}@example.com"}
    message: Any = Outer(
        open="shown",
        key=f"{canary} key".encode(),
        phones=[f"{canary} 1", f"{canary} 2"],
        pin=4321,
        inner=inner,
        inners=[inner, inner],
        whole={"open": f"{canary} whole", "email": f"{canary} whole"},
        tokens={f"{canary} name": f"{canary} token"},
        people={"Ada": inner},
        old=f"{canary} old",
    )
    packed = any_pb2.Any()
    packed.Pack(Inner(**inner))
    message.any.CopyFrom(packed)
    return message
