"""A step while it is being checked."""

from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.message import Message

from contracts.method import Method
from orchestrator.core.definition import StepKind
from orchestrator.definitions.contract import Contract
from orchestrator.definitions.policies import Report
from orchestrator.definitions.saga import Step
from orchestrator.definitions.signature import Signature


@dataclass(slots=True)
class Draft:
    """What is known of a step: what could not be found out is None."""

    declared: Step[..., Any, Any]
    name: str
    response: type[Message] | None
    contract: Contract | None = None
    kind: StepKind | None = None
    compensation: Method[Message, Message] | None = None
    action_builder: Signature | None = None
    compensation_builder: Signature | None = None


def settle_kind(draft: Draft, report: Report) -> StepKind | None:
    """The declared or default kind; None if it is nonsense, or if the contract that would decide it was faulty."""
    declared, contract = draft.declared.options.kind, draft.contract
    kind: StepKind | None = None
    if declared is not None:
        try:
            kind = declared if isinstance(declared, StepKind) else StepKind[cast("str", declared).upper()]
        except (KeyError, AttributeError):
            report(f"the kind {declared!r} is unknown; use compensatable, pivot, retriable or read_only")
            return None
    if contract is None:
        return kind
    if contract.read_only and kind not in (None, StepKind.READ_ONLY):
        report(f"{contract.method.full_name} has no side effects, so the step cannot be {said(kind)}; remove kind=")
        return None
    if kind is StepKind.READ_ONLY and not contract.read_only:
        report(
            f"it is read_only, but {contract.method.full_name} may have side effects; "
            "set idempotency_level = NO_SIDE_EFFECTS in the contract, or choose another kind"
        )
        return None
    return kind or (StepKind.READ_ONLY if contract.read_only else StepKind.COMPENSATABLE)


def said(kind: StepKind | None) -> str:
    """A kind as a declaration writes it."""
    return kind.name.lower() if kind is not None else ""
