"""Tries a definition's code at load, on generated messages: what would fail for every saga must not wait for one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from orchestrator.definitions.model import MAX_CONCURRENCY_KEY_CHARS, REQUEST_FIELDS, clear_request_fields, location
from orchestrator.definitions.policies import Report
from orchestrator.definitions.samples import sample
from orchestrator.definitions.signature import Signature


@dataclass(slots=True)
class Trial:
    """Generated messages for one definition. ``responses``: the response type of each step, by name."""

    input: type[Message]
    responses: Mapping[str, type[Message]]
    _samples: dict[type[Message], Message] = field(default_factory=dict)

    def check_builder(self, what: str, signature: Signature, returns: type[Message], report: Report) -> None:
        """A builder is a pure function. It may raise here: a generated message need not make sense to it."""
        self._check_pure(what, signature, report)
        try:
            built = signature.function(*self._arguments(signature, responded=True))
        except Exception:  # noqa: S110  (see above)
            pass
        else:
            _check_type(what, built, returns, report)

    def check_compensation(self, what: str, signature: Signature, returns: type[Message], report: Report) -> None:
        """A compensation must be built although no response ever came."""
        try:
            built = signature.function(*self._arguments(signature, responded=False))
        except Exception as error:
            report(
                f"{what} raises {_said(error, signature.function)} when every response is None; an effect whose "
                "outcome is unknown must be undone too, so build the request from the input alone then"
            )
            return
        _check_type(what, built, returns, report)
        self._check_pure(what, signature, report)

    def check_key(self, key: Callable[[Message], object], report: Report) -> None:
        """A concurrency key is a short string."""
        try:
            found = key(self._input(cleared=True))
        except Exception as error:
            report(f"the concurrency key raises {_said(error, key)} on a generated input; mend it")
            return
        if not isinstance(found, str):
            report(f"the concurrency key is a {type(found).__name__} on a generated input; return a str")
        elif not 1 <= len(found) <= MAX_CONCURRENCY_KEY_CHARS:
            report(
                f"the concurrency key has {len(found)} characters on a generated input; "
                f"return 1 to {MAX_CONCURRENCY_KEY_CHARS} of them"
            )
        elif key(self._input(cleared=True)) != found:
            report("the concurrency key differs from call to call; compute it from the input alone")

    def _check_pure(self, what: str, signature: Signature, report: Report) -> None:
        """The same arguments give the same message and are left alone, and no field of the call matters."""
        arguments = self._arguments(signature, responded=True)
        before = [_bytes(argument) for argument in arguments]
        first, second = _attempt(signature, arguments), _attempt(signature, arguments)
        if [_bytes(argument) for argument in arguments] != before:
            report(f"{what} changes a message that it was given; copy what it needs")
        elif first != second:
            report(f"{what} builds another message each time; read no clock, no randomness and no I/O")
        elif first != _attempt(signature, self._arguments(signature, responded=True, cleared=False)):
            report(
                f"{what} depends on {' or '.join(REQUEST_FIELDS)} of the input, which are not kept; use other fields"
            )

    def _arguments(self, signature: Signature, *, responded: bool, cleared: bool = True) -> list[Message | None]:
        arguments: list[Message | None] = []
        for source in signature.sources:
            if source is None:
                arguments.append(self._input(cleared=cleared))
            else:
                arguments.append(self._copy(self.responses[source]) if responded else None)
        return arguments

    def _input(self, *, cleared: bool) -> Message:
        message = self._copy(self.input)
        if cleared:
            clear_request_fields(message)
        return message

    def _copy(self, message_type: type[Message]) -> Message:
        if message_type not in self._samples:
            self._samples[message_type] = sample(message_type)
        copy = message_type()
        copy.CopyFrom(self._samples[message_type])
        return copy


def _attempt(signature: Signature, arguments: list[Message | None]) -> bytes | str:
    try:
        return _bytes(signature.function(*arguments))
    except Exception as error:
        return type(error).__name__


def _bytes(message: object) -> bytes:
    return message.SerializeToString(deterministic=True) if isinstance(message, Message) else b""


def _check_type(what: str, built: object, returns: type[Message], report: Report) -> None:
    if type(built) is not returns:
        report(f"{what} builds a {type(built).__name__}; it must return {returns.DESCRIPTOR.full_name}")


def _said(error: Exception, function: Callable[..., object]) -> str:
    return f"{type(error).__name__} ({error}) at {location(function, error.__traceback__)}"
