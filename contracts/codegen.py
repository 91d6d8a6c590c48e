"""Generates Python from the contracts: ``python -m contracts.codegen protos generated``.

Beside protoc's own output and the type stubs, each file with services gets a ``*_saga.py`` with a typed
:class:`contracts.method.Method` for each unary method, which is what definitions bind steps to. As a protoc plugin
this module runs as ``python -m contracts.codegen`` with no arguments (request on stdin, response on stdout).
"""

import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto

HEADER = '"""Typed method handles. Generated from {name}: do not edit."""\n'


def _module_of(proto_name: str) -> tuple[str, str]:
    """Python package and ``_pb2`` module of a proto file: ``a/v1/b.proto`` gives ``("a.v1", "b_pb2")``."""
    package, _, stem = proto_name.removesuffix(".proto").rpartition("/")
    return package.replace("/", "."), f"{stem}_pb2"


def _type_homes(protos: list[FileDescriptorProto]) -> dict[str, tuple[str, str, str]]:
    """Where each top-level message type lives: full name to (package, module, class name)."""
    return {
        f".{proto.package}.{message.name}": (*_module_of(proto.name), message.name)
        for proto in protos
        for message in proto.message_type
    }


def _method_handles(proto: FileDescriptorProto, homes: dict[str, tuple[str, str, str]]) -> str:
    imports: set[tuple[str, str]] = set()
    classes: list[str] = []
    for service in proto.service:
        lines = [f"class {service.name}:", f'    """Methods of {proto.package}.{service.name}."""', ""]
        for method in service.method:
            if method.client_streaming or method.server_streaming:
                continue
            request, response = homes[method.input_type], homes[method.output_type]
            imports |= {request[:2], response[:2]}
            lines.append(
                f'    {method.name}: Final = Method("{proto.package}.{service.name}", "{method.name}", '
                f"{request[1]}.{request[2]}, {response[1]}.{response[2]})"
            )
        classes.append("\n".join(lines))
    import_lines = "\n".join(f"from {package} import {module}" for package, module in sorted(imports))
    head = HEADER.format(name=proto.name) + "\nfrom typing import Final\n\nfrom contracts.method import Method\n"
    return head + import_lines + "\n\n\n" + "\n\n\n".join(classes) + "\n"


def run_plugin(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    """Answers protoc: one ``*_saga.py`` for each requested file that has services."""
    homes = _type_homes(list(request.proto_file))
    wanted = set(request.file_to_generate)
    response = plugin_pb2.CodeGeneratorResponse(supported_features=1)
    for proto in request.proto_file:
        if proto.name in wanted and proto.service:
            response.file.add(
                name=proto.name.removesuffix(".proto") + "_saga.py", content=_method_handles(proto, homes)
            )
    return response


def shipped_protos() -> Path:
    """Where this package keeps its own contracts: inside the installed wheel, or beside it in a checkout."""
    package = Path(str(files("contracts")))
    installed = package / "protos"
    return installed if installed.is_dir() else package.parent / "protos"


def generate(source: Path, target: Path, *, includes: list[Path] | None = None) -> None:
    """Regenerates ``target`` from every proto below ``source``. Raises ``RuntimeError`` if protoc refuses a file.

    ``includes`` are further import roots. The shipped contracts are always one, for ``saga/v1/options.proto``.
    """
    from grpc_tools import protoc  # noqa: PLC0415  (only code generation needs the compiler)

    protos = sorted(str(path.relative_to(source)) for path in source.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        plugin = Path(scratch) / "protoc-gen-saga"
        plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m contracts.codegen\n')
        plugin.chmod(0o700)
        out = Path(scratch) / "out"
        out.mkdir()
        arguments = [
            "protoc",
            f"--proto_path={source}",
            *(f"--proto_path={include}" for include in [*(includes or []), shipped_protos()]),
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-saga={plugin}",
            f"--plugin=protoc-gen-mypy={Path(sys.executable).parent / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}",
            *(f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc", "saga")),
            *protos,
        ]
        if protoc.main(arguments) != 0:
            raise RuntimeError("protoc refused the contracts; its messages are above")
        for proto in protos:
            # grpc_python writes an empty _pb2_grpc.py for files without services; nobody imports those.
            stem = out / proto.removesuffix(".proto")
            if not stem.with_name(stem.name + "_saga.py").exists():
                for suffix in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
                    stem.with_name(stem.name + suffix).unlink(missing_ok=True)
        for directory in {path.parent for path in out.rglob("*.py")}:
            for package in (directory, *directory.relative_to(out).parents):
                (out / package / "__init__.py").touch()
        (out / "__init__.py").unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(out, target)


def main() -> None:
    """Runs as the command with two arguments or more, as the protoc plugin with none."""
    if len(sys.argv) == 1:
        request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
        sys.stdout.buffer.write(run_plugin(request).SerializeToString())
        return
    source, target, *includes = (Path(argument) for argument in sys.argv[1:])
    generate(source, target, includes=includes)


if __name__ == "__main__":
    main()
