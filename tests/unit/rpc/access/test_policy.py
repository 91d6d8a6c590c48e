"""Whether what somebody may do now contains what they might before: what open streams are judged by."""

import pytest

from orchestrator.engine.stored import Visibility
from orchestrator.rpc.access.policy import Scope, covers
from orchestrator.rpc.identity import Identity


def scope(visibility: Visibility, *, shows_payloads: bool = True, name: str = "ada") -> Scope:
    return Scope(Identity(name, visibility=visibility), shows_payloads)


ACME = scope(Visibility(("acme",)))
OWN = scope(Visibility(("acme",), "ada"))
ALL = scope(Visibility())


@pytest.mark.parametrize(
    ("now", "before", "goes_on"),
    [
        ((ACME,), (ACME,), True),
        ((ALL,), (ACME,), True),
        ((ACME,), (ALL,), False),
        ((ACME,), (OWN,), True),
        ((OWN,), (ACME,), False),
        ((OWN, ACME), (OWN,), True),
        ((OWN,), (OWN, ACME), False),
        ((), (OWN,), False),
        ((scope(Visibility(("acme", "globex"))),), (ACME,), True),
        ((scope(Visibility(("globex",))),), (ACME,), False),
        ((scope(Visibility(())),), (ACME,), False),
        ((scope(Visibility(("acme",)), shows_payloads=False),), (ACME,), False),
        ((ACME,), (scope(Visibility(("acme",)), shows_payloads=False),), True),
        ((scope(Visibility(("acme",)), name="eve"),), (ACME,), False),
    ],
)
def test_covers(now: tuple[Scope, ...], before: tuple[Scope, ...], goes_on: bool) -> None:
    assert covers(now, before) is goes_on
