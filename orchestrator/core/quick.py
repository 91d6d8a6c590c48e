"""Makes values quick to make. A frozen dataclass sets each of its fields as if it were forbidden, which takes six times
as long as an assignment; and a saga of three steps makes some two hundred values.

A value is a draft until it is complete: of a class of the same slots that may still be written. Then it becomes what
it is, and frozen.
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, make_dataclass
from functools import update_wrapper
from typing import Any, TypeVar

KindT = TypeVar("KindT")


def quick(kind: type[KindT]) -> type[KindT]:
    """For a frozen dataclass with slots, and without a base or ``__post_init__``: gives it another ``__init__``."""
    given = {field.name: _default(field) for field in fields(kind)}  # type: ignore[arg-type]  # it is a dataclass
    parameters = ", ".join(name if value is MISSING else f"{name}=GIVEN[{name!r}]" for name, value in given.items())
    lines = ["become(self, '__class__', Draft)", *(f"self.{name} = {name}" for name in given), "self.__class__ = Kind"]
    names = {"GIVEN": given, "Draft": draft_of(kind), "Kind": kind, "become": object.__setattr__}
    made = written(f"def __init__(self, {parameters}):", lines, names)
    kind.__init__ = update_wrapper(made, kind.__init__)  # type: ignore[method-assign]  # that is what this is for
    return kind


def draft_of(kind: type) -> type:
    """A class whose values may become values of ``kind``."""
    names = [field.name for field in fields(kind)]
    return make_dataclass(f"{kind.__name__}Draft", names, slots=True, eq=False, repr=False)


def written(head: str, lines: list[str], names: dict[str, Any]) -> Callable[..., Any]:
    """A function with its source written out, as dataclasses make their own."""
    exec("\n    ".join([head, *lines]), names)  # noqa: S102  (names of fields are all that varies)
    return names[head.removeprefix("def ").partition("(")[0]]  # type: ignore[no-any-return]  # it is that function


def _default(field: "Field[Any]") -> Any:
    assert field.default_factory is MISSING, "a value that is shared by all is no default to be made anew"
    return field.default
