"""A form of a function's source that changes when the function does, and not when somebody reformats it.

The form is the syntax tree and not the token stream: tokens change with a trailing comma, a pair of parentheses or a
quote, and f-strings are cut into other tokens since Python 3.12. Fields that are absent or empty are left out, because
newer versions of Python add such fields to old nodes.
"""

import ast
import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from types import FunctionType
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message

from orchestrator.definitions.saga import Step

Form: TypeAlias = Any
"""Nested lists, dictionaries and strings, as JSON holds them."""

_SKIPPED: Final = frozenset({"ctx", "kind", "type_comment", "type_params", "annotation", "returns", "decorator_list"})
"""Annotations and decorators are checked, and digested, by what they resolve to."""
_MAX_FUNCTIONS: Final = 256


class SourceError(Exception):
    """The source of a function cannot be had, so that nobody could tell whether it changed."""


def function_form(function: Callable[..., object]) -> Form:
    """The function, the functions of the same top-level package that it names, and the constants that they name.

    Functions are numbered as they are found, so that moving or renaming a module changes nothing.
    Raises :class:`SourceError`.
    """
    found = [function]
    forms: list[Form] = []
    while len(forms) < len(found):
        current = found[len(forms)]
        node = _node(current)
        named: dict[str, Form] = {}
        for name, value in _named_values(current, node):
            helper = _helper(value, current)
            if helper is None:
                named[name] = _constant(value)
                continue
            if helper not in found:
                found.append(helper)
            named[name] = ["function", found.index(helper)]
        if len(found) > _MAX_FUNCTIONS:
            raise SourceError(f"{function.__name__} reaches more than {_MAX_FUNCTIONS} functions; let it call fewer")
        forms.append([_form(node.args), _body_form(node), {name: form for name, form in named.items() if form}])
    return forms


def _helper(value: object, caller: Callable[..., object]) -> FunctionType | None:
    if isinstance(value, Step):
        value = value.builder
    if callable(value):
        value = inspect.unwrap(value)
    if isinstance(value, FunctionType) and _package(value) == _package(caller):
        return value
    return None


def _package(function: Callable[..., object]) -> str:
    return function.__module__.partition(".")[0]


def _named_values(function: Callable[..., object], node: ast.FunctionDef | ast.Lambda) -> Iterator[tuple[str, object]]:
    """Values from outside that the function names, sorted by name."""
    assert isinstance(function, FunctionType)
    body = node.body if isinstance(node.body, list) else [node.body]
    defaults = [default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None]
    inside = [inner for root in (*body, *defaults) for inner in ast.walk(root)]
    inside += [inner for inner in ast.walk(node.args) if isinstance(inner, ast.arg)]
    read: set[str] = set()
    bound: set[str] = set()  # not co_varnames: since Python 3.12 it holds a comprehension's variables too
    for inner in inside:
        if isinstance(inner, ast.Name):
            (read if isinstance(inner.ctx, ast.Load) else bound).add(inner.id)
        elif isinstance(inner, ast.arg):
            bound.add(inner.arg)
    code = function.__code__
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    for name in sorted(read - bound):
        if name in cells:
            try:
                yield name, cells[name].cell_contents
            except ValueError:
                continue  # still unbound, as the name of a function that is being defined
        elif name in function.__globals__:
            yield name, function.__globals__[name]


def _constant(value: object) -> Form | None:
    """A form of an immutable value; None for what is no constant, such as a module or a class."""
    match value:
        case Enum():
            return ["enum", type(value).__qualname__, value.name]
        case str():
            return ["str", str(value)]
        case None | bool() | int() | float() | complex() | bytes() | timedelta():
            return [type(value).__name__, repr(value)]
        case tuple() | list():
            return ["sequence", [_constant(item) for item in value]]
        case set() | frozenset():
            return ["set", sorted(repr(_constant(item)) for item in value)]
        case dict():
            return ["mapping", [[_constant(key), _constant(item)] for key, item in value.items()]]
        case Message():
            return ["message", value.DESCRIPTOR.full_name, value.SerializeToString(deterministic=True).hex()]
        case _:
            return None


def _node(function: Callable[..., object]) -> ast.FunctionDef | ast.Lambda:
    if not isinstance(function, FunctionType):
        raise SourceError(f"{function!r} is no Python function; write it with def")
    try:
        lines, _ = inspect.findsource(function)
        tree = _parse("".join(lines))
    except (OSError, SyntaxError, TypeError) as error:
        raise SourceError(
            f"the source of {function.__name__} cannot be read ({error}); ship it with the package"
        ) from None
    wanted = ast.Lambda if function.__name__ == "<lambda>" else ast.FunctionDef
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, wanted) and _first_line(node) == function.__code__.co_firstlineno
    ]
    if len(found) != 1:
        raise SourceError(
            f"{len(found)} functions start on line {function.__code__.co_firstlineno} instead of {function.__name__}; "
            "write each on a line of its own, and load only unchanged files"
        )
    return found[0]


@lru_cache(maxsize=32)
def _parse(source: str) -> ast.Module:
    return ast.parse(source)


def _first_line(node: ast.FunctionDef | ast.Lambda) -> int:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _body_form(node: ast.AST) -> Form:
    body = getattr(node, "body", None)
    if not isinstance(body, list):
        return _form(body)
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        documented = isinstance(body[0].value.value, str)
        body = body[1:] if documented else body
    return [_form(statement) for statement in body]


def _form(value: object) -> Form:
    if isinstance(value, ast.Constant):
        return _constant(value.value) or [type(value.value).__name__]
    if isinstance(value, ast.JoinedStr):
        return ["JoinedStr", [_form(part) for part in value.values if not _is_empty(part)]]
    if isinstance(value, ast.AST):
        form: list[Form] = [type(value).__name__]
        documented = isinstance(value, ast.FunctionDef | ast.ClassDef)
        for field, item in ast.iter_fields(value):
            if field in _SKIPPED or item is None or item == []:
                continue
            form.append([field, _body_form(value) if field == "body" and documented else _form(item)])
        return form
    if isinstance(value, list):
        return [_form(item) for item in value]
    return ["str", value] if isinstance(value, str) else [type(value).__name__, repr(value)]


def _is_empty(part: ast.expr) -> bool:
    """Some releases of Python 3.12 end the format of ``f"{x:>{n}}"`` with an empty string."""
    return isinstance(part, ast.Constant) and part.value == ""
