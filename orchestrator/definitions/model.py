"""A loaded definition: the graph for the core, and the definition's code compiled for the engine.

Each builder's parameters were resolved at load to a tuple of indices: a call costs little more than the builder's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import FunctionType, TracebackType
from typing import Final

from google.protobuf.message import DecodeError, Message

from contracts.method import Method
from orchestrator.core.definition import SagaSpec
from orchestrator.core.outcome import Outcome
from orchestrator.definitions.errors import BuilderError, ConcurrencyKeyError, PayloadError

INPUT: Final = -1
"""The source of a parameter that receives the saga's input; any other source is the index of a step."""

MAX_CONCURRENCY_KEY_CHARS: Final = 256

REQUEST_FIELDS: Final = ("request_id", "return_immediately")
"""Fields of an input that concern the call and not the saga. They are cleared before the input is stored, so that
neither a builder nor the comparison of a repeated request depends on them."""


def clear_request_fields(message: Message) -> None:
    """Clear :data:`REQUEST_FIELDS` of an input, in place, and all that its contract does not know.

    No rule has looked at what is unknown. A later version of the contract may come to know it, and no saga may then
    hold what was never checked.
    """
    message.DiscardUnknownFields()
    for name in REQUEST_FIELDS:
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)


@dataclass(frozen=True, slots=True)
class Builder:
    """A function of the definition and where its arguments come from."""

    function: Callable[..., object]
    sources: tuple[int, ...]
    returns: type[Message]
    saga: str
    step: str
    phase: str

    def __call__(self, message: Message, responses: Sequence[Message | None]) -> bytes:
        """The serialized message that the function builds. Raises :class:`BuilderError`."""
        arguments = [message if source < 0 else responses[source] for source in self.sources]
        try:
            built = self.function(*arguments)
            if type(built) is self.returns:
                return built.SerializeToString(deterministic=True)
        except Exception as error:
            reason = f"{type(error).__name__} raised at {location(self.function, error.__traceback__)}"
            if self.phase != "compensation" and any(argument is None for argument in arguments):
                reason += ", which was given None for a step that has no response"
            # The error's text may hold payload, so neither it nor its chain goes on.
            raise BuilderError(self.saga, self.step, self.phase, reason) from None
        reason = f"{type(built).__name__} was built where {self.returns.__name__} is needed"
        raise BuilderError(self.saga, self.step, self.phase, reason)


@dataclass(frozen=True, slots=True)
class BoundStep:
    """What the engine needs of a step beside its :class:`~orchestrator.core.definition.StepSpec`."""

    name: str
    method: Method[Message, Message]
    compensation: Method[Message, Message] | None
    """Set for compensatable steps alone."""
    can_settle: bool
    """True if the participant serves ``saga.v1.ParticipantService/Settle``."""
    reclassify: Mapping[int, Outcome]
    compensation_reclassify: Mapping[int, Outcome]
    action_builder: Builder
    compensation_builder: Builder | None


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition that was checked. ``steps`` and ``spec.steps`` have the same indices, in topological order.

    ``responses``, wherever it is asked for, holds one entry a step: its parsed response, or None where it has none.
    """

    spec: SagaSpec
    input: type[Message]
    output: type[Message] | None
    steps: tuple[BoundStep, ...]
    result_builder: Builder | None
    key: Callable[[Message], object] | None

    @property
    def name(self) -> str:
        """Such as ``place-order``."""
        return self.spec.name

    @property
    def version(self) -> int:
        """From 1."""
        return self.spec.version

    @property
    def digest(self) -> bytes:
        """32 bytes; see :mod:`orchestrator.definitions.digest`."""
        return self.spec.digest

    @property
    def label(self) -> str:
        """``place-order v1``, as messages write it."""
        return f"{self.spec.name} v{self.spec.version}"

    def build_action(self, index: int, message: Message, responses: Sequence[Message | None]) -> bytes:
        """The request of a step's action. Raises :class:`BuilderError`."""
        return self.steps[index].action_builder(message, responses)

    def build_compensation(self, index: int, message: Message, responses: Sequence[Message | None]) -> bytes:
        """The request of a compensatable step's compensation. Raises :class:`BuilderError`."""
        builder = self.steps[index].compensation_builder
        assert builder is not None, f"step {index} of {self.label} is not compensatable"
        return builder(message, responses)

    def build_result(self, message: Message, responses: Sequence[Message | None]) -> bytes:
        """The output, empty if the definition has none. Raises :class:`BuilderError`."""
        return b"" if self.result_builder is None else self.result_builder(message, responses)

    def parse_input(self, data: bytes) -> Message:
        """Raises :class:`PayloadError`."""
        return self._parse(self.input, data, "input")

    def parse_response(self, index: int, data: bytes) -> Message:
        """Response of a step's action. Raises :class:`PayloadError`."""
        step = self.steps[index]
        return self._parse(step.method.response, data, f"response of step {step.name}")

    def parse_output(self, data: bytes) -> Message:
        """What :meth:`build_result` made. Raises :class:`PayloadError`."""
        assert self.output is not None, f"{self.label} has no output"
        return self._parse(self.output, data, "output")

    def store_input(self, message: Message) -> bytes:
        """The input as it is stored and hashed: without :data:`REQUEST_FIELDS`, serialized deterministically."""
        stored = self.input()
        stored.CopyFrom(message)
        clear_request_fields(stored)
        return stored.SerializeToString(deterministic=True)

    def concurrency_key(self, message: Message) -> str | None:
        """The key of an input, of 1 to 256 characters; None if the definition has none.

        Raises :class:`ConcurrencyKeyError` if the input gives no usable key, :class:`BuilderError` if the code fails.
        """
        if self.key is None:
            return None
        try:
            key = self.key(message)
        except Exception as error:
            reason = f"{type(error).__name__} raised at {location(self.key, error.__traceback__)}"
            raise BuilderError(self.label, "", "concurrency key", reason) from None
        if not isinstance(key, str):
            raise BuilderError(self.label, "", "concurrency key", f"{type(key).__name__} returned instead of str")
        if not 1 <= len(key) <= MAX_CONCURRENCY_KEY_CHARS or "\0" in key:
            raise ConcurrencyKeyError(
                f"saga {self.label}: the concurrency key of this input has {len(key)} characters"
                f"{', a NUL among them' if chr(0) in key else ''}; "
                f"send an input that gives 1 to {MAX_CONCURRENCY_KEY_CHARS} of them, and no NUL"
            )
        return key

    def _parse(self, message: type[Message], data: bytes, what: str) -> Message:
        try:
            return message.FromString(data)
        except DecodeError:
            raise PayloadError(
                f"saga {self.label}: the {len(data)} bytes of the {what} are no {message.DESCRIPTOR.full_name}; "
                "send that message, serialized"
            ) from None


def location(function: Callable[..., object], traceback: TracebackType | None) -> str:
    """``file.py:line``, the innermost within the function's own file."""
    if not isinstance(function, FunctionType):
        return "an unknown place"
    filename, line = function.__code__.co_filename, function.__code__.co_firstlineno
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return f"{PurePath(filename).name}:{line}"
