"""Front doors are found in the contracts of the loaded definitions, and checked against them."""

import pytest

from orchestrator.definitions.errors import DefinitionErrors
from orchestrator.definitions.front_doors import front_doors
from orchestrator.definitions.registry import Registry, load_modules, load_sagas
from orchestrator.definitions.saga import Saga
from tests.unit.definitions import odd_contracts as odd
from tests.unit.definitions.declaring import add_reserve, new_saga


def registry(name: str, *versions: int) -> Registry:
    sagas = []
    for version in versions:
        saga = Saga(name, version=version, input=odd.Input, output=odd.Output)

        @saga.step(odd.parts("Act"), kind="pivot")
        def act(order: odd.Input) -> odd.Do:
            return odd.Do(order_id=order.order_id)

        @saga.result
        def done(order: odd.Input) -> odd.Output:
            return odd.Output()

        sagas.append(saga)
    return load_sagas(sagas)


def test_the_shipped_door_starts_the_newest_version() -> None:
    (door,) = front_doors(load_modules(["orchestrator.definitions.shipped"]))
    assert door.method.path == "/orders.v1.OrderService/PlaceOrder"
    assert door.definition.label == "place-order v2"
    assert door.may_return_immediately
    assert door.method.request is door.definition.input
    assert door.method.response is door.definition.output


def test_a_door_is_found_once_for_all_versions() -> None:
    (door,) = front_doors(registry("good", 1, 3, 2))
    assert door.method.full_name == "odd.v1.Doors/Good"
    assert door.definition.version == 3


def test_doors_of_definitions_that_are_not_loaded_are_left_out() -> None:
    assert front_doors(registry("behind-no-door", 1)) == ()
    saga = new_saga()
    add_reserve(saga)
    assert front_doors(load_sagas([saga])) == ()
    assert front_doors(load_sagas([])) == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "wrong-messages",
            [
                "its request is odd.v1.Do, but the input of wrong-messages v1 is odd.v1.Input; make them one",
                "its response is odd.v1.Done, but the output of wrong-messages v1 is odd.v1.Output; make them one",
                "odd.v1.Do has no field request_id of type string; add it",
                "odd.v1.Done has no field saga_id of type string; add it",
                "odd.v1.Done has no field state of type saga.v1.SagaState; add it",
            ],
        ),
        (
            "wrong-fields",
            [
                "its response is odd.v1.Bare, but the output of wrong-fields v1 is odd.v1.Output; make them one",
                "odd.v1.Bare has no field saga_id of type string; add it",
                "odd.v1.Bare has no field state of type saga.v1.SagaState; add it",
            ],
        ),
        ("wrong-version", ["it starts wrong-version v7, which is not loaded; load it, or name another"]),
        ("streaming", ["it streams; a front door is unary"]),
    ],
)
def test_faulty_doors_are_named(name: str, expected: list[str]) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        front_doors(registry(name, 1))
    assert [fault.message for fault in caught.value.faults] == expected
    assert {fault.where.partition("/")[0] for fault in caught.value.faults} == {"front door odd.v1.Doors"}
