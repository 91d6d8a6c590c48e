"""Definitions are found by name, version and digest; modules are loaded by name, and what is wrong in any is told."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from orchestrator.definitions.errors import DefinitionErrors
from orchestrator.definitions.loading import load
from orchestrator.definitions.registry import Registry, load_modules, load_sagas
from orchestrator.definitions.saga import Saga
from tests.unit.definitions.declaring import add_reserve, new_saga

GOOD = """
from inventory.v1.inventory_pb2 import ReserveRequest
from inventory.v1.inventory_saga import InventoryService
from orchestrator.definitions import Saga
from orders.v1.orders_pb2 import PlaceOrderRequest

{name} = Saga("{name}", version=1, input=PlaceOrderRequest)

@{name}.step(InventoryService.Reserve, kind="pivot")
def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    return ReserveRequest(order_id=order.order_id)
"""


def one(**options: Any) -> Saga[Any, Any]:
    saga = new_saga(**options)
    add_reserve(saga)
    return saga


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_definitions_are_found() -> None:
    registry = load_sagas([one(version=2), one(version=10), one(version=1)])
    newest = registry.newest("trial")
    assert newest is not None
    assert newest.version == 10
    assert registry.find("trial") is newest
    second = registry.find("trial", 2)
    assert second is not None
    assert registry.find_digest(second.digest) is second
    assert registry.find("trial", 3) is None
    assert registry.find("other") is None
    assert registry.newest("other") is None
    assert registry.find_digest(bytes(32)) is None
    assert [definition.version for definition in registry] == [2, 10, 1]


def test_the_same_name_and_version_twice_is_refused() -> None:
    with pytest.raises(DefinitionErrors, match='saga "trial" v1: 2 definitions have this name and version'):
        load_sagas([one(), one()])
    definition = load(one())
    with pytest.raises(DefinitionErrors, match="2 definitions have this name and version"):
        Registry([definition, definition])


def test_modules_expose_sagas_by_name_or_by_tuple(modules: Path) -> None:
    (modules / "loaded_a.py").write_text(GOOD.format(name="alpha"))
    (modules / "loaded_b").mkdir()
    (modules / "loaded_b" / "__init__.py").write_text(GOOD.format(name="beta") + "\nSAGAS = (beta,)\nbeta2 = None\n")
    (modules / "loaded_c.py").write_text("from loaded_a import alpha\n")  # exposed twice, loaded once
    registry = load_modules(["loaded_a", "loaded_b", "loaded_c"])
    assert sorted(definition.name for definition in registry) == ["alpha", "beta"]


def test_every_faulty_module_is_named(modules: Path) -> None:
    (modules / "faulty_a.py").write_text("1 / 0\n")
    (modules / "faulty_b.py").write_text("x = 1\n")
    (modules / "faulty_c.py").write_text("SAGAS = (1,)\n")
    (modules / "faulty_d.py").write_text(GOOD.format(name="gamma").replace("version=1", "version=0"))
    with pytest.raises(DefinitionErrors) as caught:
        load_modules(["faulty_a", "faulty_b", "faulty_c", "faulty_d", "faulty_nowhere"])
    assert [str(fault).partition(";")[0] for fault in caught.value.faults] == [
        'module "faulty_a": importing it raises ZeroDivisionError: division by zero',
        'module "faulty_b": it exposes no saga',
        'module "faulty_c": SAGAS holds something other than a Saga',
        "module \"faulty_nowhere\": importing it raises ModuleNotFoundError: No module named 'faulty_nowhere'",
        'saga "gamma" v0: version is 0',
    ]


def test_the_definition_in_the_documentation_loads(modules: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "definitions.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    (modules / "documented.py").write_text(textwrap.dedent(code))
    (definition,) = load_modules(["documented"])
    assert [step.name for step in definition.steps] == ["reserve", "charge"]
