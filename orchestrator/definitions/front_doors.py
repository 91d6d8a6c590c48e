"""Methods that start a saga: found in the contracts, checked, and handed to a server that needs no code for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from saga.v1 import options_pb2, saga_pb2

from contracts.method import Method
from orchestrator.definitions.errors import DefinitionErrors, Fault
from orchestrator.definitions.model import Definition
from orchestrator.definitions.policies import Report
from orchestrator.definitions.registry import Registry


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """A typed RPC that starts a saga and waits for its end.

    Its request is the definition's input and has a string ``request_id``; its response is the definition's output and
    has the fields ``saga_id`` and ``state``, which the server fills in.
    """

    method: Method[Message, Message]
    definition: Definition
    """What a new saga follows. An older one that a repeated ``request_id`` finds again may follow another version."""
    may_return_immediately: bool
    """The request has a bool ``return_immediately``."""


def front_doors(registry: Registry) -> tuple[FrontDoor, ...]:
    """The front doors among the services of the files that define the inputs of the registry's definitions.

    A method whose definition has no version in the registry belongs to another orchestrator and is left out.
    Raises :class:`DefinitionErrors` with every fault found.
    """
    doors: list[FrontDoor] = []
    faults: list[Fault] = []
    for descriptor in _methods(registry):
        starts = descriptor.GetOptions().Extensions[options_pb2.starts_saga]
        if not starts.definition or registry.newest(starts.definition) is None:
            continue
        where = f"front door {descriptor.containing_service.full_name}/{descriptor.name}"
        found: list[str] = []
        definition = registry.find(starts.definition, starts.version)
        if definition is None:
            found.append(
                f"it starts {starts.definition} v{starts.version}, which is not loaded; load it, or name another"
            )
        else:
            _check(descriptor, definition, found.append)
        faults += [Fault(where, message) for message in found]
        if definition is not None and not found:
            doors.append(_door(descriptor, definition))
    if faults:
        raise DefinitionErrors(faults)
    return tuple(doors)


def _methods(registry: Registry) -> Iterator[MethodDescriptor]:
    files = {definition.input.DESCRIPTOR.file.name: definition.input.DESCRIPTOR.file for definition in registry}
    for file in files.values():
        for service in file.services_by_name.values():
            for method in service.methods:
                yield cast("MethodDescriptor", method)  # the stubs add the runtime's own class


def _check(descriptor: MethodDescriptor, definition: Definition, report: Report) -> None:
    if descriptor.client_streaming or descriptor.server_streaming:
        report("it streams; a front door is unary")
    request, response = descriptor.input_type, descriptor.output_type
    output = definition.output.DESCRIPTOR.full_name if definition.output else "nothing"
    if request.full_name != definition.input.DESCRIPTOR.full_name:
        report(
            f"its request is {request.full_name}, but the input of {definition.label} is "
            f"{definition.input.DESCRIPTOR.full_name}; make them one"
        )
    if response.full_name != output:
        report(f"its response is {response.full_name}, but the output of {definition.label} is {output}; make them one")
    _check_field(request, "request_id", FieldDescriptor.TYPE_STRING, "string", report)
    if "return_immediately" in request.fields_by_name:
        _check_field(request, "return_immediately", FieldDescriptor.TYPE_BOOL, "bool", report)
    _check_field(response, "saga_id", FieldDescriptor.TYPE_STRING, "string", report)
    state = response.fields_by_name.get("state")
    wanted = saga_pb2.SagaState.DESCRIPTOR.full_name
    if state is None or state.is_repeated or state.enum_type is None or state.enum_type.full_name != wanted:
        report(f"{response.full_name} has no field state of type {wanted}; add it")


def _check_field(message: Descriptor, name: str, type_: int, said: str, report: Report) -> None:
    field = message.fields_by_name.get(name)
    if field is None or field.type != type_ or field.is_repeated:
        report(f"{message.full_name} has no field {name} of type {said}; add it")


def _door(descriptor: MethodDescriptor, definition: Definition) -> FrontDoor:
    method = Method(
        descriptor.containing_service.full_name,
        descriptor.name,
        GetMessageClass(descriptor.input_type),
        GetMessageClass(descriptor.output_type),
    )
    return FrontDoor(method, definition, "return_immediately" in descriptor.input_type.fields_by_name)
