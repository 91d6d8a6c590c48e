"""What a participant's contract says about a method: does it exist as declared, what undoes it, is there a barrier."""

from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from saga.v1 import options_pb2

from contracts.method import Method
from orchestrator.definitions.policies import Report


@dataclass(frozen=True, slots=True)
class Contract:
    """A method that exists, is unary, and carries the messages that its handle says."""

    method: Method[Message, Message]
    descriptor: MethodDescriptor
    read_only: bool
    has_barrier: bool
    compensation_option: str
    """As the contract writes it; empty if nothing undoes the method."""


def read_contract(method: object, report: Report) -> Contract | None:
    """Look a handle up in its descriptor pool; None if a fault was reported."""
    if not isinstance(method, Method):
        report(f"it is bound to a {type(method).__name__}; bind it to a method of a generated *_saga module")
        return None
    try:
        descriptor = method.descriptor
    except KeyError:
        report(f"method {method.full_name} is unknown; regenerate the *_saga modules, or correct the name")
        return None
    sound = _check_unary(descriptor, method.full_name, report)
    for what, declared, actual in (
        ("request", method.request.DESCRIPTOR.full_name, descriptor.input_type.full_name),
        ("response", method.response.DESCRIPTOR.full_name, descriptor.output_type.full_name),
    ):
        if declared != actual:
            report(f"method {method.full_name} has the {what} {actual}, its handle says {declared}; regenerate it")
            sound = False
    if not sound:
        return None
    options = descriptor.GetOptions()
    return Contract(
        method=method,
        descriptor=descriptor,
        read_only=options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
        has_barrier=_has_barrier(descriptor),
        compensation_option=options.Extensions[options_pb2.compensation],
    )


def find_compensation(contract: Contract, report: Report) -> Method[Message, Message] | None:
    """The method that the contract's option names; None if a fault was reported. The option must be set."""
    service = contract.descriptor.containing_service
    service_name, _, method_name = contract.compensation_option.rpartition("/")
    try:
        if service_name and service_name != service.full_name:
            service = service.file.pool.FindServiceByName(service_name)
        descriptor = service.methods_by_name[method_name]
    except KeyError:
        report(
            f"the compensation {contract.compensation_option!r} of method {contract.method.full_name} is unknown; "
            "name a method of the same service, or package.Service/Method of one that is imported"
        )
        return None
    name = f"{service.full_name}/{descriptor.name}"
    if not _check_unary(descriptor, name, report):
        return None
    if _has_barrier(descriptor) != contract.has_barrier:
        report(
            f"{contract.method.full_name} and its compensation {name} differ in keeping a barrier; they share its row"
        )
        return None
    return Method(
        service.full_name,
        descriptor.name,
        GetMessageClass(descriptor.input_type),
        GetMessageClass(descriptor.output_type),
    )


def _check_unary(descriptor: MethodDescriptor, name: str, report: Report) -> bool:
    if descriptor.client_streaming or descriptor.server_streaming:
        report(f"method {name} streams; a step calls unary methods only")
        return False
    return True


def _has_barrier(descriptor: MethodDescriptor) -> bool:
    options = descriptor.containing_service.GetOptions()
    return not options.Extensions[options_pb2.participant].without_barrier
