"""A contract that no sane participant would have, built without protoc: what the shipped contracts cannot show."""

from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from inventory.v1 import inventory_pb2
from orders.v1 import orders_pb2
from saga.v1 import options_pb2, saga_pb2

from contracts.method import Method

PACKAGE = "odd.v1"
_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_BOOL = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
_ENUM = descriptor_pb2.FieldDescriptorProto.TYPE_ENUM
_MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE


def _message(file: descriptor_pb2.FileDescriptorProto, name: str, **fields: tuple[int, str]) -> None:
    message = file.message_type.add(name=name)
    for number, (field_name, (kind, type_name)) in enumerate(fields.items(), start=1):
        field = message.field.add(name=field_name, number=number, type=kind, label=1)
        if type_name:
            field.type_name = type_name


def _method(
    service: descriptor_pb2.ServiceDescriptorProto,
    name: str,
    request: str = "Do",
    response: str = "Done",
    *,
    compensation: str = "",
    starts: str = "",
    version: int = 0,
    streams: bool = False,
) -> None:
    method = service.method.add(
        name=name,
        input_type=f".{PACKAGE}.{request}",
        output_type=f".{PACKAGE}.{response}",
        server_streaming=streams,
    )
    if compensation:
        method.options.Extensions[options_pb2.compensation] = compensation
    if starts:
        method.options.Extensions[options_pb2.starts_saga].definition = starts
        method.options.Extensions[options_pb2.starts_saga].version = version


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="odd/v1/odd.proto", package=PACKAGE, syntax="proto3")
    file.dependency.extend([options_pb2.DESCRIPTOR.name, saga_pb2.DESCRIPTOR.name])
    text, flag = (_STRING, ""), (_BOOL, "")
    child = (_MESSAGE, f".{PACKAGE}.Input")
    _message(file, "Input", request_id=text, return_immediately=flag, order_id=text, child=child)
    _message(file, "Output", saga_id=text, state=(_ENUM, ".saga.v1.SagaState"), note=text)
    _message(file, "Bare", note=text)
    for name in ("Do", "Done", "Undo", "Undone"):
        _message(file, name, order_id=text)
    parts = file.service.add(name="Parts")
    _method(parts, "Act", compensation="Revert")
    _method(parts, "Revert", "Undo", "Undone")
    _method(parts, "RevertByStream", "Undo", "Undone", streams=True)
    _method(parts, "Spelt", compensation=f"{PACKAGE}.Parts/Revert")
    _method(parts, "Lost", compensation="Nowhere")
    _method(parts, "LostService", compensation=f"{PACKAGE}.Nobody/Revert")
    _method(parts, "Torrent", compensation="RevertByStream")
    _method(parts, "Mixed", compensation=f"{PACKAGE}.BareParts/Revert")
    bare = file.service.add(name="BareParts")
    bare.options.Extensions[options_pb2.participant].without_barrier = True
    _method(bare, "Act", compensation="Revert")
    _method(bare, "Revert", "Undo", "Undone")
    doors = file.service.add(name="Doors")
    _method(doors, "Good", "Input", "Output", starts="good")
    _method(doors, "WrongMessages", "Do", "Done", starts="wrong-messages")
    _method(doors, "WrongFields", "Input", "Bare", starts="wrong-fields")
    _method(doors, "WrongVersion", "Input", "Output", starts="wrong-version", version=7)
    _method(doors, "Streaming", "Input", "Output", starts="streaming", streams=True)
    _method(doors, "Elsewhere", "Do", "Done", starts="not-loaded")
    return file


_DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(_file().SerializeToString())

if TYPE_CHECKING:  # stand-ins of the same shape, as far as the tests touch it
    Input = orders_pb2.PlaceOrderRequest
    Output = orders_pb2.PlaceOrderResponse
    Bare = orders_pb2.PlaceOrderResponse
    Do = inventory_pb2.ReserveRequest
    Done = inventory_pb2.ReserveResponse
    Undo = inventory_pb2.ReleaseRequest
    Undone = inventory_pb2.ReleaseResponse
else:
    Input, Output, Bare, Do, Done, Undo, Undone = (
        GetMessageClass(_DESCRIPTOR.message_types_by_name[name])
        for name in ("Input", "Output", "Bare", "Do", "Done", "Undo", "Undone")
    )


def parts(name: str) -> Method[Do, Done]:
    """A method of a participant with a barrier."""
    return Method(f"{PACKAGE}.Parts", name, Do, Done)


BARE_ACT = Method(f"{PACKAGE}.BareParts", "Act", Do, Done)
