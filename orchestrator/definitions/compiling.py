"""From checked drafts to the definition that the engine runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message

from orchestrator.core.definition import PERSISTENT_RETRY, RetryPolicy, SagaSpec, StepKind, StepSpec
from orchestrator.definitions import graph
from orchestrator.definitions.digest import definition_digest
from orchestrator.definitions.draft import Draft
from orchestrator.definitions.model import INPUT, BoundStep, Builder, Definition
from orchestrator.definitions.policies import by_number
from orchestrator.definitions.saga import Saga
from orchestrator.definitions.signature import Signature


def compile_definition(
    saga: Saga[Any, Any], drafts: Mapping[str, Draft], edges: graph.Edges, result: Signature | None
) -> Definition:
    """Put the steps into topological order and resolve every name to an index. Nothing may be at fault any more."""
    order = graph.topological(edges)
    compiler = _Compiler(f"{saga.name} v{saga.version}", edges, {name: at for at, name in enumerate(order)})
    ordered = [drafts[name] for name in order]
    steps = tuple(compiler.bind(draft) for draft in ordered)
    result_builder = compiler.builder(result, "", "result", saga.output) if result and saga.output else None
    key = saga.concurrency_keys[0] if saga.concurrency_keys else None
    spec = SagaSpec(
        name=saga.name,
        version=saga.version,
        digest=b"",
        steps=tuple(compiler.spec(draft) for draft in ordered),
        deadline_s=float(saga.deadline_s),
        pivot=next((at for at, draft in enumerate(ordered) if draft.kind is StepKind.PIVOT), None),
    )
    messages = (saga.input.DESCRIPTOR.full_name, saga.output.DESCRIPTOR.full_name if saga.output else "")
    digest = definition_digest(spec, steps, messages, result_builder, key)
    return Definition(replace(spec, digest=digest), saga.input, saga.output, steps, result_builder, key)


def _default_retry(kind: StepKind) -> RetryPolicy:
    """Giving up before the pivot undoes the saga, which is an end; giving up after it is none."""
    return PERSISTENT_RETRY if kind is StepKind.RETRIABLE else RetryPolicy()


@dataclass(frozen=True, slots=True)
class _Compiler:
    label: str
    edges: graph.Edges
    index: Mapping[str, int]

    def spec(self, draft: Draft) -> StepSpec:
        options = draft.declared.options
        assert draft.kind is not None
        assert draft.contract is not None
        return StepSpec(
            name=draft.name,
            kind=draft.kind,
            predecessors=tuple(sorted(self.index[name] for name in self.edges[draft.name])),
            successors=tuple(sorted(self.index[name] for name, before in self.edges.items() if draft.name in before)),
            retry=options.retry or _default_retry(draft.kind),
            compensation_retry=options.compensation_retry,
            timeout_s=float(options.timeout_s),
            compensation_timeout_s=float(options.compensation_timeout_s),
            has_compensation=draft.compensation is not None,
            has_barrier=draft.contract.has_barrier,
        )

    def bind(self, draft: Draft) -> BoundStep:
        contract, action, undo = draft.contract, draft.action_builder, draft.compensation_builder
        assert contract is not None
        assert action is not None
        undo_builder = None
        if undo is not None and draft.compensation is not None:
            undo_builder = self.builder(undo, draft.name, "compensation", draft.compensation.request)
        return BoundStep(
            name=draft.name,
            method=contract.method,
            compensation=draft.compensation,
            can_settle=contract.has_barrier,
            reclassify=by_number(draft.declared.options.reclassify),
            compensation_reclassify=by_number(draft.declared.options.compensation_reclassify),
            action_builder=self.builder(action, draft.name, "action", contract.method.request),
            compensation_builder=undo_builder,
        )

    def builder(self, signature: Signature, step: str, phase: str, returns: type[Message]) -> Builder:
        sources = tuple(INPUT if source is None else self.index[source] for source in signature.sources)
        return Builder(signature.function, sources, returns, self.label, step, phase)
