"""What is known around the sagas: which steps call which participant, and how participants and nodes fare."""

from collections.abc import Mapping, Sequence
from typing import Final

from orchestrator.definitions.registry import Registry
from orchestrator.engine.breakers import BreakerState
from orchestrator.engine.lanes import ParticipantStatus
from orchestrator.operations.values import Hold, StepOf


class Catalogue:
    """The loaded definitions by participant. Immutable."""

    def __init__(self, registry: Registry) -> None:
        self._services: Final[dict[StepOf, str]] = {}
        self._steps: Final[dict[str, list[StepOf]]] = {}
        self._labels: Final[dict[str, list[str]]] = {}
        self.longest_attempt_s = 0.0
        for definition in registry:
            for bound, spec in zip(definition.steps, definition.spec.steps, strict=True):
                at = StepOf(definition.name, definition.version, bound.name)
                self._services[at] = bound.method.service
                methods = (bound.method, bound.compensation)
                for service in {method.service for method in methods if method is not None}:
                    self._steps.setdefault(service, []).append(at)
                    labels = self._labels.setdefault(service, [])
                    if definition.label not in labels:
                        labels.append(definition.label)
                self.longest_attempt_s = max(self.longest_attempt_s, spec.timeout_s, spec.compensation_timeout_s)

    @property
    def services(self) -> Sequence[str]:
        """Every participant, by name."""
        return sorted(self._labels)

    def labels(self, service: str) -> Sequence[str]:
        """The definitions that call a participant."""
        return self._labels.get(service, [])

    def service_of(self, definition: str, version: int, step: str) -> str:
        """The participant of a step; empty if that is not known here."""
        return self._services.get(StepOf(definition, version, step), "")

    def steps_of(self, service: str) -> tuple[StepOf, ...]:
        """The steps that call a participant, or whose undo does."""
        return tuple(self._steps.get(service, ()))


def hindrances(statuses: Sequence[ParticipantStatus], holds: Sequence[Hold]) -> Mapping[str, str]:
    """In words, what keeps calls from a participant, by its service."""
    found: dict[str, str] = {}
    for status in statuses:
        if status.breaker is BreakerState.OPEN:
            found[status.service] = "it does not answer, so calls to it wait until it does (its breaker is open)"
        elif status.breaker is BreakerState.HALF_OPEN:
            found[status.service] = "it is being tried with a few calls after it had not answered"
    for hold in holds:
        found[hold.service] = f"{hold.caller} holds every call to it: {hold.reason}"
    return found
