"""Participants that the shipped contracts do not have: one without a barrier, and one that only answers questions."""

from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from inventory.v1 import inventory_pb2
from saga.v1 import options_pb2

from contracts.method import Method

PACKAGE: Final = "simulated.v1"


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="simulated/v1/simulated.proto", package=PACKAGE, syntax="proto3")
    file.dependency.append(options_pb2.DESCRIPTOR.name)
    for name in ("Ask", "Told"):
        message = file.message_type.add(name=name)
        for number, text in enumerate(("order_id", "warehouse_id"), start=1):
            message.field.add(name=text, number=number, type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING, label=1)
    bare = file.service.add(name="BareService")
    bare.options.Extensions[options_pb2.participant].without_barrier = True
    reader = file.service.add(name="ReadingService")
    for service, name in ((bare, "Set"), (bare, "Unset"), (bare, "Send"), (reader, "Look")):
        method = service.method.add(name=name, input_type=f".{PACKAGE}.Ask", output_type=f".{PACKAGE}.Told")
        if name == "Set":
            method.options.Extensions[options_pb2.compensation] = "Unset"
        elif name == "Look":
            method.options.idempotency_level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    return file


_DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(_file().SerializeToString())

if TYPE_CHECKING:  # stand-ins of the same shape, as far as the sagas touch it
    Ask = inventory_pb2.ReserveRequest
    Told = inventory_pb2.ReserveRequest
else:
    Ask, Told = (GetMessageClass(_DESCRIPTOR.message_types_by_name[name]) for name in ("Ask", "Told"))

SET: Final = Method(f"{PACKAGE}.BareService", "Set", Ask, Told)
SEND: Final = Method(f"{PACKAGE}.BareService", "Send", Ask, Told)
LOOK: Final = Method(f"{PACKAGE}.ReadingService", "Look", Ask, Told)
