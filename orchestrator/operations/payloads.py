"""Payloads for people to read: JSON by the descriptors, without what their contract calls personal or secret."""

from typing import Final

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError, Message
from saga.v1 import operator_pb2 as op

from contracts.sensitivity import redact
from orchestrator.core.state import SagaState, SagaStatus, StepStatus
from orchestrator.definitions.errors import BuilderError, PayloadError
from orchestrator.definitions.model import Definition

MAX_JSON_CHARS: Final = 65_536
"""Of one payload."""
MAX_STEPS_CHARS: Final = 400_000
"""Of the payloads of all steps of a saga: an answer has a bound, too."""


def show(message: Message, max_chars: int = MAX_JSON_CHARS) -> op.Payload:
    """A message as it may be shown. The message is left as it is."""
    copy = type(message)()
    copy.CopyFrom(message)
    payload = op.Payload(type=message.DESCRIPTOR.full_name)
    try:
        redact(copy)
        text = MessageToJson(copy, indent=2, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError) as error:  # an Any of an unknown type, or too deep
        payload.problem = f"the message cannot be shown as JSON: {type(error).__name__}"
        return payload
    payload.truncated = len(text) > max_chars
    payload.json = text[:max_chars]
    return payload


def show_bytes(kind: type[Message], data: bytes, max_chars: int = MAX_JSON_CHARS) -> op.Payload:
    """A serialized message as it may be shown."""
    try:
        return show(kind.FromString(data), max_chars)
    except DecodeError:
        return op.Payload(
            type=kind.DESCRIPTOR.full_name, problem=f"its {len(data)} bytes are no such message; it has changed"
        )


def step_payloads(definition: Definition, state: SagaState, saga_input: bytes) -> list[op.StepPayloads]:
    """The messages of every step, in the order of the graph."""
    try:
        message = definition.parse_input(saga_input)
        responses = [
            None if step.response is None else definition.parse_response(index, step.response)
            for index, step in enumerate(state.steps)
        ]
    except PayloadError as error:
        return [op.StepPayloads(step=step.name, request=op.Payload(problem=str(error))) for step in definition.steps]
    return [_of_step(definition, state, index, message, responses) for index in range(len(state.steps))]


def _of_step(
    definition: Definition, state: SagaState, index: int, message: Message, responses: list[Message | None]
) -> op.StepPayloads:
    bound, step = definition.steps[index], state.steps[index]
    max_chars = min(MAX_JSON_CHARS, MAX_STEPS_CHARS // (3 * len(state.steps)))
    shown = op.StepPayloads(step=bound.name)
    if step.status is not StepStatus.PENDING or all(
        responses[before] is not None for before in definition.spec.steps[index].predecessors
    ):
        try:
            request = definition.build_action(index, message, responses)
            shown.request.CopyFrom(show_bytes(bound.method.request, request, max_chars))
        except BuilderError as error:
            shown.request.CopyFrom(op.Payload(type=bound.method.request.DESCRIPTOR.full_name, problem=error.reason))
    if step.response is not None:
        shown.response.CopyFrom(show_bytes(bound.method.response, step.response, max_chars))
    backward = SagaStatus.COMPENSATING in {state.status, state.stuck_from} or state.status is SagaStatus.COMPENSATED
    if bound.compensation is not None and backward and step.status is not StepStatus.PENDING:
        try:
            request = definition.build_compensation(index, message, responses)
            shown.compensation_request.CopyFrom(show_bytes(bound.compensation.request, request, max_chars))
        except BuilderError as error:
            shown.compensation_request.CopyFrom(op.Payload(problem=error.reason))
    return shown
