"""The digest of a definition: equal digests mean that a saga begun under the one can be finished under the other.

It covers graph, kinds, policies, method names and code. Messages are covered by name alone: ``buf breaking`` guards
what is in them, and an additive field must orphan no saga. Whether a participant keeps a barrier is its own affair too.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Final

from orchestrator.core.definition import RetryPolicy, SagaSpec
from orchestrator.core.outcome import Outcome
from orchestrator.definitions.model import BoundStep, Builder
from orchestrator.definitions.source import function_form

_FORMAT: Final = 1
"""Raised whenever the form changes: it gives every definition a new digest, which orphans what is running."""


def definition_digest(
    spec: SagaSpec, steps: tuple[BoundStep, ...], messages: tuple[str, str], result: Builder | None, key: Any
) -> bytes:
    """SHA-256 over everything but ``spec.digest``. ``messages``: full names of input and output.

    Raises :class:`~orchestrator.definitions.source.SourceError`.
    """
    content = {
        "format": _FORMAT,
        "name": spec.name,
        "version": spec.version,
        "messages": messages,
        "deadline_s": float(spec.deadline_s),
        "steps": [_step(spec, index, bound) for index, bound in enumerate(steps)],
        "result": _code(result),
        "concurrency_key": function_form(key) if key is not None else None,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()


def _step(spec: SagaSpec, index: int, bound: BoundStep) -> Mapping[str, Any]:
    step = spec.steps[index]
    return {
        "name": step.name,
        "kind": int(step.kind),
        "after": step.predecessors,
        "method": bound.method.full_name,
        "compensation_method": bound.compensation.full_name if bound.compensation else None,
        "retry": _retry(step.retry),
        "compensation_retry": _retry(step.compensation_retry),
        "timeouts_s": [float(step.timeout_s), float(step.compensation_timeout_s)],
        "reclassify": [_codes(bound.reclassify), _codes(bound.compensation_reclassify)],
        "action": _code(bound.action_builder),
        "compensation": _code(bound.compensation_builder),
    }


def _retry(policy: RetryPolicy) -> list[float]:
    return [float(value) for value in astuple(policy)]


def _codes(reclassify: Mapping[int, Outcome]) -> list[tuple[int, int]]:
    return sorted((code, int(outcome)) for code, outcome in reclassify.items())


def _code(builder: Builder | None) -> Any:
    return function_form(builder.function) if builder is not None else None
