"""The stand-in as a node with a policy: it knows callers by their bearer tokens, and holds them to their roles."""

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import operator_service_pb2 as pb

from contracts.errors import RpcError, to_trailers
from orchestrator.console.roles import ROLES
from tests.console.standin import FullStandIn

READER, OPERATOR, ADMIN = "reader", "operator", "admin"
_RANKS: Final = (READER, OPERATOR, ADMIN)
_CURRENT: Final[ContextVar["Person"]] = ContextVar("person")


@dataclass(slots=True)
class Person:
    """``expires_at`` is in seconds since 1970."""

    name: str
    token: str
    role: str
    expires_at: float | None = None

    def may(self, method: str) -> bool:
        needed = ROLES.get(method)
        return needed is None or (self.role in _RANKS and _RANKS.index(self.role) >= _RANKS.index(needed))


def people() -> dict[str, Person]:
    """By token, one of each role; and one whom the policy does not know."""
    made = [
        Person(name, f"{name}.token-of.{name}", role)
        for name, role in zip(("rita", "olga", "ada"), _RANKS, strict=True)
    ]
    return {person.token: person for person in (*made, Person("nemo", "nemo.token-of.nemo", ""))}


@dataclass
class Bearers(grpc.aio.ServerInterceptor):
    """``called`` holds who called what, refused calls too; without a token the name is empty."""

    known: dict[str, Person] = field(default_factory=people)
    called: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Authorization that was presented, and known to nobody."""

    def named(self, name: str) -> Person:
        return next(person for person in self.known.values() if person.name == name)

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        method = handler_call_details.method.rpartition("/")[2]
        presented = [value for key, value in handler_call_details.invocation_metadata if key == "authorization"]
        scheme, _, token = str(presented[0] if len(presented) == 1 else "").partition(" ")
        person = self.known.get(token) if scheme == "Bearer" else None
        self.called.append((person.name if person else "", method))
        if person is None or (person.expires_at is not None and person.expires_at <= time.time()):
            self.refused.extend(str(value) for value in presented)
            return _refusing(grpc.StatusCode.UNAUTHENTICATED, "the token is not known to this node")
        if not person.role or not person.may(method):
            return _refusing(grpc.StatusCode.PERMISSION_DENIED, f"the roles of the caller do not let it call {method}")
        _CURRENT.set(person)
        return await continuation(handler_call_details)


def _refusing(code: grpc.StatusCode, text: str) -> "grpc.RpcMethodHandler[Any, Any]":
    error = RpcError(code, code.name, text)

    async def refuse(_: bytes, context: Any) -> None:
        await context.abort(code, text, to_trailers(error))

    return grpc.unary_unary_rpc_method_handler(refuse)


class KnowingStandIn(FullStandIn):
    """Says who calls."""

    async def GetIdentity(self, request: pb.GetIdentityRequest, context: Any) -> pb.GetIdentityResponse:  # noqa: N802
        person = _CURRENT.get()
        methods = pb.DESCRIPTOR.services_by_name["SagaOperatorService"].methods_by_name
        told = pb.GetIdentityResponse(
            name=person.name,
            roles=[person.role],
            tenants=["blue", ""],
            all_tenants=person.role == ADMIN,
            methods=[method for method in methods if person.may(method)],
        )
        if person.expires_at is not None:
            told.expire_time.CopyFrom(Timestamp(seconds=int(person.expires_at)))
        return told
