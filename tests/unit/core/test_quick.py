"""A value that is quick to make is the value that its dataclass makes."""

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from orchestrator.core.quick import quick


@dataclass(frozen=True, slots=True)
class Slow:
    """As dataclasses make it."""

    name: str
    number: int = 3
    note: str | None = field(default=None, compare=False)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    """The same."""

    name: str
    number: int = 3
    note: str | None = field(default=None, compare=False)


def test_its_fields_are_what_was_given_or_the_defaults() -> None:
    for given in ({"name": "a"}, {"name": "a", "number": 7}, {"name": "a", "note": "n"}):
        slow, made = Slow(**given), Quick(**given)
        assert (made.name, made.number, made.note) == (slow.name, slow.number, slow.note)
    assert Quick("a", 7, "n").note == "n"


def test_it_is_frozen() -> None:
    made = Quick("a")
    with pytest.raises(FrozenInstanceError):
        made.number = 4  # type: ignore[misc]  # that is what is tried
    with pytest.raises(FrozenInstanceError):
        del made.name
    assert not hasattr(made, "__dict__")


def test_it_is_compared_hashed_shown_and_copied_as_a_dataclass() -> None:
    made = Quick("a", 7, "n")
    assert type(made) is Quick
    assert made == Quick("a", 7)
    assert hash(made) == hash(Quick("a", 7))
    assert repr(made) == repr(Slow("a", 7, "n")).replace("Slow", "Quick")
    assert replace(made, number=8) == Quick("a", 8)
    assert copy.copy(made) == pickle.loads(pickle.dumps(made)) == made


def test_it_says_what_it_takes() -> None:
    assert inspect.signature(Quick) == inspect.signature(Slow)
    for given in ((), ("a", 1, None, 2)):
        with pytest.raises(TypeError):
            Quick(*given)


def test_a_default_that_would_be_made_anew_is_refused() -> None:
    with pytest.raises(AssertionError):

        @quick
        @dataclass(frozen=True, slots=True)
        class Shared:
            names: list[str] = field(default_factory=list)
