"""What is installed is what was tested: the wheel alone, in an environment of its own, away from the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("commerce", "contracts", "inventory", "migrations", "orchestrator", "orders", "participants", "payment")
PROTO = """
syntax = "proto3";
package parking.v1;
import "saga/v1/options.proto";
service ParkingService {
  rpc Book(BookRequest) returns (BookResponse) { option (saga.v1.compensation) = "Free"; }
  rpc Free(FreeRequest) returns (FreeResponse);
}
message BookRequest { string plate = 1 [(saga.v1.rules) = {required: true}]; }
message BookResponse { string place = 1; }
message FreeRequest { string plate = 1; }
message FreeResponse {}
"""
DEFINITION = """
from parking.v1.parking_pb2 import BookRequest, BookResponse, FreeRequest
from parking.v1.parking_saga import ParkingService
from orchestrator.definitions import Saga

park = Saga("park", version=1, input=BookRequest)

@park.step(ParkingService.Book)
def book(request: BookRequest) -> BookRequest:
    return BookRequest(plate=request.plate)

@book.compensation
def free(request: BookRequest, book: BookResponse | None) -> FreeRequest:
    return FreeRequest(plate=request.plate)
"""


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    kept = {"PATH": os.environ["PATH"], "HOME": str(cwd), **environment}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that sees the wheel, the dependencies of this one, and nothing of the checkout."""
    directory = tmp_path_factory.mktemp("installed")
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir")
    _run(*build, directory / "wheel", ROOT, cwd=directory)
    (wheel,) = (directory / "wheel").glob("*.whl")
    venv.create(directory / "env", with_pip=False, symlinks=True)
    interpreter = directory / "env" / "bin" / "python"
    site = Path(
        _run(interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=directory).strip()
    )
    install = (sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", "--no-index")
    _run(*install, wheel, cwd=directory)
    # A path, not a site: the checkout's own .pth file in there is not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # The tools that code generation finds beside the interpreter.
    for tool in ("protoc-gen-mypy", "protoc-gen-mypy_grpc"):
        (directory / "env" / "bin" / tool).symlink_to(Path(sys.executable).parent / tool)
    return interpreter


def test_every_package_comes_from_the_wheel(python: Path, tmp_path: Path) -> None:
    code = f"import importlib; [print(importlib.import_module(name).__file__) for name in {PACKAGES!r}]"
    paths = _run(python, "-c", code, cwd=tmp_path).split()
    assert len(paths) == len(PACKAGES)
    assert all(path.startswith(str(python.parents[1])) for path in paths), paths


def test_the_commands_run(python: Path, tmp_path: Path) -> None:
    assert "migrate" in _run(python.parent / "orchestrator", "--help", cwd=tmp_path)
    assert "explain" in _run(python.parent / "sagactl", "--help", cwd=tmp_path)


def test_the_chains_of_migrations_are_there(python: Path, tmp_path: Path) -> None:
    chains = _run(python, "-m", "migrations.runner", "chains", cwd=tmp_path).split()
    assert chains == ["inventory", "orchestrator", "payment", "shipping"]
    assert "CREATE TABLE saga" in _run(python, "-m", "migrations.runner", "sql", "orchestrator", cwd=tmp_path)


def test_the_console_brings_its_pages_and_scripts(python: Path, tmp_path: Path) -> None:
    code = """
from orchestrator.console.page import HERE, load_templates
print(len(load_templates().list_templates()), *(path.name for path in (HERE / "static" / "vendor").iterdir()))
"""
    count, *names = _run(python, "-c", code, cwd=tmp_path).split()
    assert int(count) > 10
    assert {"htmx.min.js", "idiomorph-ext.min.js", "uPlot.iife.min.js", "uPlot.min.css", "LICENSE.uplot"} <= set(names)


def test_users_bring_contracts_and_definitions_of_their_own(python: Path, tmp_path: Path) -> None:
    contract = tmp_path / "protos" / "parking" / "v1" / "parking.proto"
    contract.parent.mkdir(parents=True)
    contract.write_text(PROTO)
    _run(python, "-m", "contracts.codegen", "protos", "generated", cwd=tmp_path)
    (tmp_path / "parking_sagas.py").write_text(DEFINITION)
    code = (
        "from orchestrator.definitions.registry import load_modules\n"
        "print(*(definition.label for definition in load_modules(['parking_sagas'])))"
    )
    assert _run(python, "-c", code, cwd=tmp_path, PYTHONPATH="generated:.").strip() == "park v1"
