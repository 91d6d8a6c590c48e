"""From a declared :class:`~orchestrator.definitions.saga.Saga` to a checked definition, or to all that is wrong in it.

Each pass needs what the one before it found, and goes on past faults as far as it can, so that one load tells them all.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from contracts.method import Method
from orchestrator.core.definition import StepKind
from orchestrator.definitions import graph
from orchestrator.definitions.compiling import compile_definition
from orchestrator.definitions.contract import find_compensation, read_contract
from orchestrator.definitions.draft import Draft, said, settle_kind
from orchestrator.definitions.errors import DefinitionErrors, Fault
from orchestrator.definitions.model import Definition
from orchestrator.definitions.policies import Report, check_name, check_options, check_saga
from orchestrator.definitions.saga import Saga, Step
from orchestrator.definitions.signature import Expected, Signature, read_signature
from orchestrator.definitions.source import SourceError, function_form
from orchestrator.definitions.trial import Trial


def load(saga: Saga[Any, Any]) -> Definition:
    """Check a declaration and compile it. Raises :class:`DefinitionErrors` with every fault found."""
    return _Loading(saga).run()


class _Loading:
    """One load. The passes run in the order of :meth:`run`."""

    def __init__(self, saga: Saga[Any, Any]) -> None:
        self._saga = saga
        self._faults: list[Fault] = []
        self._drafts: dict[str, Draft] = {}
        self._edges: dict[str, frozenset[str]] = {}
        self._result: Signature | None = None

    def run(self) -> Definition:
        check_saga(self._saga, self._report())
        messages: dict[str, object] = {"input": self._saga.input, "output": self._saga.output or Message}
        for what, message in messages.items():
            if not isinstance(message, type) or not issubclass(message, Message):
                self._report()(f"{what} is {message!r}; give the class of a generated protobuf message")
                raise DefinitionErrors(self._faults)
        self._collect_steps()
        for draft in self._drafts.values():
            self._check_step(draft)
        self._check_result()
        self._check_edges()
        self._try_builders()
        self._check_sources()
        if self._faults:
            raise DefinitionErrors(self._faults)
        return compile_definition(self._saga, self._drafts, self._edges, self._result)

    def _report(self, step: str = "") -> Report:
        where = f'saga "{self._saga.name}" v{self._saga.version}' + (f', step "{step}"' if step else "")
        return lambda message: self._faults.append(Fault(where, message))

    def _collect_steps(self) -> None:
        for step in self._saga.steps:
            report = self._report(step.name)
            if step.name != "<lambda>":  # which is a fault of its own
                check_name(step.name, report)
            if step.name in self._drafts:
                report("it is declared twice; rename one of the functions")
                continue
            method: object = step.method
            self._drafts[step.name] = Draft(step, step.name, method.response if isinstance(method, Method) else None)

    def _check_step(self, draft: Draft) -> None:
        report = self._report(draft.name)
        check_options(draft.declared.options, report)
        draft.contract = read_contract(draft.declared.method, report)
        draft.kind = settle_kind(draft, report)
        names = list(self._drafts)
        earlier = names[: names.index(draft.name)]
        expected = self._expect("the builder", earlier, draft.contract.method.request if draft.contract else None)
        draft.action_builder = read_signature(draft.declared.builder, expected, report)
        self._check_compensation(draft, report)

    def _check_compensation(self, draft: Draft, report: Report) -> None:
        builders = draft.declared.compensations
        if len(builders) > 1:
            report(f"it has {len(builders)} compensations; keep one")
        if draft.kind is not None and draft.kind is not StepKind.COMPENSATABLE and builders:
            report(f"it has a compensation, but a {said(draft.kind)} step is never undone; remove it")
            return
        if draft.contract is not None and draft.kind is StepKind.COMPENSATABLE:
            if draft.contract.compensation_option:
                draft.compensation = find_compensation(draft.contract, report)
                if not builders:
                    report(f"it is compensatable but has no compensation; add one with @{draft.name}.compensation")
            else:
                report(
                    f"it is compensatable, but no contract says what undoes {draft.contract.method.full_name}; "
                    "set option (saga.v1.compensation) there, or declare the step pivot or retriable"
                )
        if builders:
            returns = draft.compensation.request if draft.compensation is not None else None
            expected = self._expect("the compensation", list(self._drafts), returns, optional=True)
            draft.compensation_builder = read_signature(builders[0], expected, report)

    def _check_result(self) -> None:
        report, builders, output = self._report(), self._saga.results, self._saga.output
        if len(builders) > 1:
            report(f"it has {len(builders)} result builders; keep one")
        if output is not None and not builders:
            report(
                f"its output is {output.DESCRIPTOR.full_name}, but nothing builds it; add a function with @saga.result"
            )
        if output is None and builders:
            report("it has a result builder, but no output; declare output=, or remove the builder")
        if len(self._saga.concurrency_keys) > 1:
            report("it has two concurrency keys; keep one")
        if builders:
            expected = self._expect("the result builder", list(self._drafts), output)
            self._result = read_signature(builders[0], expected, report)

    def _expect(
        self, what: str, steps: list[str], returns: type[Message] | None, *, optional: bool = False
    ) -> Expected:
        responses = {name: self._drafts[name].response for name in steps}
        return Expected(
            what=what,
            input=self._saga.input,
            responses={name: response for name, response in responses.items() if response is not None},
            later=frozenset(self._drafts) - set(steps),
            optional=optional,
            returns=returns,
        )

    def _check_edges(self) -> None:
        for draft in self._drafts.values():
            sources = draft.action_builder.sources if draft.action_builder else ()
            named = {source for source in sources if source is not None}
            self._edges[draft.name] = frozenset(named | self._declared_edges(draft))
        cycle = graph.find_cycle(self._edges)
        if cycle:
            path = " after ".join((*cycle, cycle[0]))
            self._report()(f"its steps wait for each other ({path}); remove one of the edges")
            return
        kinds = {name: draft.kind for name, draft in self._drafts.items() if draft.kind is not None}
        # An edge that a faulty builder would have drawn is missing: the pivot rule would blame its absence.
        if len(kinds) == len(self._drafts) and all(draft.action_builder for draft in self._drafts.values()):
            graph.check_kinds(self._edges, kinds, self._report())
            self._check_parallel()

    def _declared_edges(self, draft: Draft) -> set[str]:
        edges: set[str] = set()
        for item in draft.declared.options.after:
            name = item.name if isinstance(item, Step) else item
            if name not in self._drafts or (isinstance(item, Step) and item not in self._saga.steps):
                self._report(draft.name)(f"after= names {name!r}, which is no step of this saga; name one that is")
            else:
                edges.add(name)
        return edges

    def _check_parallel(self) -> None:
        """A response that may or may not have come by the time of a compensation would change its request."""
        above = graph.ancestors(self._edges)
        for draft in self._drafts.values():
            sources = draft.compensation_builder.sources if draft.compensation_builder else ()
            for source in sources:
                if source is None or source == draft.name or source in above[draft.name] or draft.name in above[source]:
                    continue
                self._report(draft.name)(
                    f"the compensation needs the response of step {source!r}, which runs in parallel and may come "
                    f"between two attempts; order the two with after=, or drop the parameter"
                )

    def _try_builders(self) -> None:
        responses = {name: draft.response for name, draft in self._drafts.items() if draft.response is not None}
        trial = Trial(self._saga.input, responses)
        for draft in self._drafts.values():
            report = self._report(draft.name)
            if draft.action_builder and draft.contract:
                trial.check_builder("the builder", draft.action_builder, draft.contract.method.request, report)
            if draft.compensation_builder and draft.compensation:
                returns = draft.compensation.request
                trial.check_compensation("the compensation", draft.compensation_builder, returns, report)
        if self._result and self._saga.output:
            trial.check_builder("the result builder", self._result, self._saga.output, self._report())
        for key in self._saga.concurrency_keys[:1]:
            trial.check_key(key, self._report())

    def _check_sources(self) -> None:
        code: list[tuple[str, Callable[..., object]]] = [("", key) for key in self._saga.concurrency_keys[:1]]
        for draft in self._drafts.values():
            for signature in (draft.action_builder, draft.compensation_builder):
                code += [(draft.name, signature.function)] if signature else []
        code += [("", self._result.function)] if self._result else []
        for step, function in code:
            try:
                function_form(function)
            except SourceError as error:
                self._report(step)(str(error))
