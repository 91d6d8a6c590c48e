"""Takes payloads out of answers, for callers who may see sagas and not what is in them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

PAYLOAD_FIELDS: Final = frozenset(
    {
        "saga.v1.Saga.result",
        "saga.v1.StepSucceeded.response",
        "saga.v1.StepSettled.response",
        "saga.v1.SkipBegun.response",
        "saga.v1.BulkAction.response_json",
        "saga.v1.SagaDetails.input",
        "saga.v1.SagaDetails.step_payloads",
        "saga.v1.SagaDetails.result",
    }
)
"""Every field of an answer that holds what callers and participants sent."""


@dataclass(slots=True)
class _Plan:
    """For messages of one type: what to clear, and where to look further."""

    clear: list[str] = field(default_factory=list)
    into: list[tuple[str, bool, "_Plan"]] = field(default_factory=list)


def payload_remover(answer: Descriptor) -> Callable[[Message], None] | None:
    """What takes payloads out of such an answer, in place; None if there are none in it."""
    plans: dict[str, _Plan] = {}
    plan = _plan(answer, plans)
    while _prune(plans.values()):  # until only ways remain that end at a payload
        pass
    if not plan.clear and not plan.into:
        return None
    return lambda message: _remove(message, plan)


def _plan(descriptor: Descriptor, plans: dict[str, _Plan]) -> _Plan:
    if descriptor.full_name in plans:
        return plans[descriptor.full_name]
    plan = plans[descriptor.full_name] = _Plan()
    for each in descriptor.fields:
        if each.full_name in PAYLOAD_FIELDS:
            plan.clear.append(each.name)
        elif each.message_type is not None:
            assert not each.message_type.GetOptions().map_entry, "no answer holds a map"
            plan.into.append((each.name, each.is_repeated, _plan(each.message_type, plans)))
    return plan


def _prune(plans: Iterable[_Plan]) -> bool:
    changed = False
    for plan in plans:
        kept = [way for way in plan.into if way[2].clear or way[2].into]
        changed = changed or len(kept) < len(plan.into)
        plan.into = kept
    return changed


def _remove(message: Message, plan: _Plan) -> None:
    for name in plan.clear:
        message.ClearField(name)
    for name, repeated, inner in plan.into:
        if repeated:
            for each in getattr(message, name):
                _remove(each, inner)
        elif message.HasField(name):
            _remove(getattr(message, name), inner)
