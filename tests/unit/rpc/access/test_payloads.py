"""No payload is forgotten: every field of an answer that could hold one is known, as one or as none."""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from saga.v1 import event_pb2, operator_pb2, operator_service_pb2, saga_pb2, saga_service_pb2

from orchestrator.rpc.access.payloads import PAYLOAD_FIELDS, payload_remover

NO_PAYLOADS = {"saga.v1.SagaStarted.trace"}
"""Bytes that nobody's request or response is in: W3C trace context."""
SUSPECT_NAMES = ("input", "result", "payload", "response", "request_json", "response_json")
ANSWERS = [
    method.output_type
    for file in (saga_service_pb2.DESCRIPTOR, operator_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]


def fields(descriptor: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        yield field
        if field.message_type is not None:
            yield from fields(field.message_type, seen)


def could_be_payload(field: FieldDescriptor) -> bool:
    of_payloads = field.message_type is not None and field.message_type.full_name in (
        "saga.v1.Payload",
        "saga.v1.StepPayloads",
        "google.protobuf.Any",
        "google.protobuf.Struct",
    )
    inside = field.full_name.startswith("saga.v1.StepPayloads.")
    return not inside and (
        field.type == FieldDescriptor.TYPE_BYTES or of_payloads or any(name in field.name for name in SUSPECT_NAMES)
    )


def test_every_field_that_could_hold_a_payload_is_known() -> None:
    seen: set[str] = set()
    found = {field.full_name for answer in ANSWERS for field in fields(answer, seen) if could_be_payload(field)}
    assert found == PAYLOAD_FIELDS | NO_PAYLOADS


def test_payloads_go_and_the_rest_stays() -> None:
    remove = payload_remover(operator_service_pb2.GetSagaDetailsResponse.DESCRIPTOR)
    assert remove is not None
    kept = operator_service_pb2.GetSagaDetailsResponse(
        details=operator_pb2.SagaDetails(
            saga=saga_pb2.Saga(saga_id="s"),
            events=[event_pb2.SagaEvent(step_succeeded=event_pb2.StepSucceeded(step="a"))],
        )
    )
    answer = operator_service_pb2.GetSagaDetailsResponse()
    answer.CopyFrom(kept)
    answer.details.saga.result = b"secret"
    answer.details.events[0].step_succeeded.response = b"secret"
    answer.details.input.json = answer.details.result.json = "secret"
    answer.details.step_payloads.add(step="a").response.json = "secret"
    remove(answer)
    assert answer == kept


def test_what_holds_no_payload_costs_nothing() -> None:
    assert payload_remover(operator_service_pb2.ListNodesResponse.DESCRIPTOR) is None
    assert payload_remover(operator_service_pb2.GetIdentityResponse.DESCRIPTOR) is None
