"""Which message a definition takes: asked of the definitions installed here, then of the node's reflection."""

import json
import os
from collections.abc import Iterator
from typing import Final, cast

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2 as pb
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from saga.v1 import options_pb2

from orchestrator.cli.sagactl.connection import Connection
from orchestrator.cli.sagactl.exits import CommandError, ExitCode

MODULES: Final = "ORCHESTRATOR_DEFINITIONS"
SHIPPED: Final = "orchestrator.definitions.shipped"
MAX_FILES: Final = 1_000


def input_type(connection: Connection, definition: str, version: int, named: str | None) -> Descriptor:
    """The input of a definition; ``named`` is its full name if the user knows it. Raises :class:`CommandError`."""
    found = _installed(definition, version, named)
    if found is None:
        found = _served(connection, definition, named)
    if found is None:
        what = named or f"the input of {definition}"
        raise CommandError(
            ExitCode.NOT_FOUND,
            f"nothing here or at {connection.address} describes {what}",
            f"install the package of the definition and name its module in {MODULES}, or let the node serve reflection "
            "and give --input-type",
        )
    return found


def _installed(definition: str, version: int, named: str | None) -> Descriptor | None:
    from orchestrator.definitions.errors import DefinitionErrors  # noqa: PLC0415  (other commands need none of it)
    from orchestrator.definitions.registry import load_modules  # noqa: PLC0415  (as above)

    try:
        loaded = load_modules(_modules()).find(definition, version)
    except DefinitionErrors as errors:
        raise CommandError(ExitCode.USAGE, f"{MODULES}: {errors.faults[0]}") from None
    if named is None:
        return (
            None if loaded is None else cast("Descriptor", loaded.input.DESCRIPTOR)
        )  # the stubs add the runtime's own class
    try:
        return Default().FindMessageTypeByName(named)
    except KeyError:
        return None


def _modules() -> list[str]:
    text = os.environ.get(MODULES)
    if not text:
        return [SHIPPED]
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CommandError(ExitCode.USAGE, f'{MODULES} is no JSON list of modules: write ["package.module"]')
    return names


def _served(connection: Connection, definition: str, named: str | None) -> Descriptor | None:
    """By the node's reflection: a method that starts this definition takes its input. None without reflection."""
    try:
        reflection = _Reflection(connection)
        files = list(reflection.files())
    except grpc.RpcError:
        return None
    name = named or next((name for file in files for name in _started(file, definition)), None)
    if name is None:
        return None
    if named is not None:
        files += reflection.with_symbol(named)
    pool = DescriptorPool()
    for file in reflection.in_order(files):
        pool.Add(file)
    try:
        return pool.FindMessageTypeByName(name)
    except (KeyError, TypeError):
        return None


def _started(file: FileDescriptorProto, definition: str) -> Iterator[str]:
    for service in file.service:
        for method in service.method:
            if method.options.Extensions[options_pb2.starts_saga].definition == definition:
                yield method.input_type.removeprefix(".")


class _Reflection:
    """The node's descriptors. Its methods raise ``grpc.RpcError``."""

    def __init__(self, connection: Connection) -> None:
        self._stub = ServerReflectionStub(connection.channel)
        self._timeout_s = connection.timeout_s

    def files(self) -> Iterator[FileDescriptorProto]:
        """The files of every service."""
        for service in self._ask(pb.ServerReflectionRequest(list_services="")).list_services_response.service:
            yield from self.with_symbol(service.name)

    def with_symbol(self, symbol: str) -> list[FileDescriptorProto]:
        """The file that holds a symbol; the server may add what it imports."""
        answer = self._ask(pb.ServerReflectionRequest(file_containing_symbol=symbol))
        return [FileDescriptorProto.FromString(raw) for raw in answer.file_descriptor_response.file_descriptor_proto]

    def in_order(self, files: list[FileDescriptorProto]) -> list[FileDescriptorProto]:
        """The files, each after what it imports; imports that are missing are asked for."""
        known = {file.name: file for file in files}
        ordered: dict[str, FileDescriptorProto] = {}

        def add(name: str) -> None:
            if name in ordered or len(ordered) > MAX_FILES:
                return
            if name not in known:
                answer = self._ask(pb.ServerReflectionRequest(file_by_filename=name)).file_descriptor_response
                parsed = [FileDescriptorProto.FromString(raw) for raw in answer.file_descriptor_proto]
                known.update({file.name: file for file in parsed})
            file = known.get(name)
            if file is not None:
                for imported in file.dependency:
                    add(imported)
                ordered[name] = file

        for file in files:
            add(file.name)
        return list(ordered.values())

    def _ask(self, request: pb.ServerReflectionRequest) -> pb.ServerReflectionResponse:
        answers = self._stub.ServerReflectionInfo(iter([request]), timeout=self._timeout_s)
        answer: pb.ServerReflectionResponse = next(answers)
        answers.cancel()
        return answer
