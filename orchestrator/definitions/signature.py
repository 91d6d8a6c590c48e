"""The parameters of a builder are what it needs: which receives the input, which the response of which step."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

from orchestrator.definitions.policies import Report


@dataclass(frozen=True, slots=True)
class Signature:
    """A builder whose every parameter has a source: None for the input, or the name of a step."""

    function: Callable[..., Message]
    sources: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a builder may ask for and must return."""

    what: str
    """How messages call the builder."""
    input: type[Message]
    responses: Mapping[str, type[Message]]
    """By name of the steps that it may ask for."""
    later: frozenset[str]
    """Names of steps that exist but come too late."""
    optional: bool
    """Responses may be None: a compensation."""
    returns: type[Message] | None
    """None where that could not be found out."""


def read_signature(function: object, expected: Expected, report: Report) -> Signature | None:
    """Resolve a builder's parameters; None if a fault was reported."""
    what = expected.what
    if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
        report(f"{what} is no plain function; write it with def, so that it has a name and annotations")
        return None
    if hasattr(function, "__wrapped__"):
        report(f"{what} is wrapped by another decorator, which its digest would not cover; remove the decorator")
        return None
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        report(f"{what} is a coroutine or generator; a builder does no I/O, so make it a plain def")
        return None
    if inspect.isasyncgenfunction(function):
        report(f"{what} is an asynchronous generator; a builder does no I/O, so make it a plain def")
        return None
    try:
        hints = get_type_hints(function)
    except Exception as error:
        report(f"{what} has an annotation that cannot be resolved ({error}); import its types where it is defined")
        return None
    sound = _check_returns(hints.get("return"), expected, report)
    sources: list[str | None] = []
    for parameter in inspect.signature(function).parameters.values():
        found = _check_parameter(parameter, hints, expected, report)
        sources.append(parameter.name if parameter.name in expected.responses else None)
        sound = sound and found
    return Signature(function, tuple(sources)) if sound else None


def _check_returns(hint: object, expected: Expected, report: Report) -> bool:
    if expected.returns is None or hint is expected.returns:
        return True
    declared = "nothing" if hint is None else _name(hint)
    report(f"{expected.what} is annotated to return {declared}; it must return {expected.returns.DESCRIPTOR.full_name}")
    return False


def _check_parameter(
    parameter: inspect.Parameter, hints: Mapping[str, Any], expected: Expected, report: Report
) -> bool:
    name = f"parameter {parameter.name!r} of {expected.what}"
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.POSITIONAL_ONLY):
        report(f"{name} is variadic or keyword-only; name each step that is needed as a plain parameter")
        return False
    if parameter.default is not parameter.empty:
        report(f"{name} has a default; every parameter is given, so remove it")
        return False
    hint = hints.get(parameter.name)
    if hint is None:
        report(f"{name} is not annotated; annotate it with the message that it receives")
        return False
    response = expected.responses.get(parameter.name)
    if response is not None:
        return _check_response(name, hint, response, expected, report)
    if hint is expected.input:
        return True
    if parameter.name in expected.later:
        report(f"{name} names a step that is declared later; declare that step first")
    else:
        known = ", ".join(expected.responses) or "none"
        report(
            f"{name} names no earlier step (there are: {known}) and is not annotated with the input "
            f"{expected.input.DESCRIPTOR.full_name}; rename it or annotate it so"
        )
    return False


def _check_response(name: str, hint: object, response: type[Message], expected: Expected, report: Report) -> bool:
    bare, optional = _without_none(hint)
    full_name = response.DESCRIPTOR.full_name
    if bare is not response:
        report(f"{name} is annotated {_name(hint)}, but the step's response is {full_name}; annotate it so")
        return False
    if optional == expected.optional:
        return True
    if expected.optional:
        report(f"{name} may be None, as the outcome may be unknown; annotate it {response.__name__} | None")
    else:
        report(f"{name} is never None, as the step has succeeded; annotate it {response.__name__}")
    return False


def _without_none(hint: object) -> tuple[object, bool]:
    if get_origin(hint) in (Union, UnionType):
        others = [part for part in get_args(hint) if part is not NoneType]
        if len(others) == 1 and len(get_args(hint)) == 2:
            return others[0], True
    return hint, False


def _name(hint: object) -> str:
    if isinstance(hint, type) and issubclass(hint, Message):
        return str(hint.DESCRIPTOR.full_name)
    return getattr(hint, "__name__", None) or str(hint)
