"""Who lives where, and what each of them is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from inventory.v1.inventory_pb2 import ReserveRequest, StockLine
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as opb
from saga.v1 import saga_pb2
from saga.v1 import saga_service_pb2 as pb

from tests.fixtures.tokens import AUDIENCE, ISSUER
from tests.integration.engine.harness import Rig
from tests.security.access.served import Guarded, guarded_node, told

_IDENTITY: Final = """
[[identity]]
issuer = "login"
subject = "{subject}"
roles = {roles}
definitions = {definitions}
tenant = "{tenant}"
tenants = {tenants}
"""


def identity(subject: str, roles: list[str], tenant: str, tenants: list[str]) -> str:
    """An entry of the policy."""
    definitions = ["*"] if "starter" in roles else []
    return _IDENTITY.format(subject=subject, roles=roles, definitions=definitions, tenant=tenant, tenants=tenants)


WORKER: Final = ["starter", "operator"]
HEAD: Final = f"""
[[issuer]]
name = "login"
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks = "jwks.json"

[[identity]]
issuer = "login"
subject = "admin"
roles = ["admin"]
"""
POLICY: Final = HEAD + "".join(
    [
        identity("ann", WORKER, "acme", ["acme"]),
        identity("art", WORKER, "acme", ["acme"]),
        identity("bob", WORKER, "bolt", ["bolt"]),
        identity("dee", WORKER, "", [""]),
        identity("eve", ["reader"], "acme", ["acme", "bolt"]),
    ]
)
STARTERS: Final = ("ann", "art", "bob", "dee")
SEES: Final = {
    "ann": {"ann", "art"},
    "art": {"ann", "art"},
    "bob": {"bob"},
    "dee": {"dee"},
    "eve": {"ann", "art", "bob"},
    "admin": {"ann", "art", "bob", "dee"},
}
"""Whose sagas each of them sees."""


@dataclass
class Town:
    """The node, and what is asked of it over gRPC."""

    node: Guarded

    async def start(self, who: str, key: str, request_id: str = "r-1") -> pb.StartSagaResponse:
        """A saga that waits, under a concurrency key."""
        lines = [StockLine(sku="SKU-1", quantity=1)]
        order = ReserveRequest(order_id="order", warehouse_id=key, lines=lines).SerializeToString()
        request = pb.StartSagaRequest(request_id=request_id, definition="single", input=order)
        answer: pb.StartSagaResponse = await self.node.call("StartSaga", request, who)
        return answer

    async def everybody(self) -> dict[str, str]:
        """A saga of each starter, by whom: all with one request id, and with one key but for art's."""
        started = {}
        for who in STARTERS:
            saga = (await self.start(who, "harbour" if who != "art" else "hill")).saga
            started[who] = saga.saga_id
        return started

    async def refusal(self, method: str, request: Any, who: str) -> tuple[grpc.StatusCode, str]:
        """Status and reason of a call that is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.node.call(method, request, who)
        return caught.value.code(), told(caught.value).reason

    async def listed(self, who: str, page_size: int = 0) -> list[saga_pb2.Saga]:
        """Every page of ListSagas."""
        found: list[saga_pb2.Saga] = []
        token = ""
        while True:
            request = pb.ListSagasRequest(page_size=page_size, page_token=token)
            answer = await self.node.call("ListSagas", request, who)
            found += answer.sagas
            token = answer.next_page_token
            if not token:
                return found

    async def searched(self, who: str, **query: Any) -> list[saga_pb2.Saga]:
        """A page of SearchSagas."""
        answer = await self.node.call("SearchSagas", opb.SearchSagasRequest(query=op.SagaQuery(**query)), who)
        return [each.saga for each in answer.sagas]

    async def counted(self, who: str) -> int:
        """How many CountSagas counts."""
        answer = await self.node.call("CountSagas", opb.CountSagasRequest(), who)
        return sum(each.sagas for each in answer.states)

    async def overview(self, who: str) -> opb.GetOverviewResponse:
        """Of the last hour."""
        request = opb.GetOverviewRequest(window=Duration(seconds=3600), buckets=1)
        answer: opb.GetOverviewResponse = await self.node.call("GetOverview", request, who)
        return answer

    async def audit(self, who: str, **where: Any) -> list[op.AuditEntry]:
        """A page of ListAudit."""
        answer = await self.node.call("ListAudit", opb.ListAuditRequest(filter=opb.AuditFilter(**where)), who)
        return list(answer.entries)

    async def pause(self, who: str, saga_id: str, request_id: str, version: int) -> None:
        """An action with its entry of the audit log."""
        request = opb.PauseSagaRequest(
            request_id=request_id, saga_id=saga_id, expected_version=version, reason="a test"
        )
        await self.node.call("PauseSaga", request, who)

    async def version(self, saga_id: str) -> int:
        """As an administrator sees it."""
        answer = await self.node.call("GetSaga", pb.GetSagaRequest(saga_id=saga_id), "admin")
        return int(answer.saga.last_seq)


@asynccontextmanager
async def open_town(rig: Rig, folder: Path, policy: str) -> AsyncIterator[Town]:
    """Serves until the block ends."""
    async with guarded_node(rig, folder, policy=policy) as node:
        yield Town(node)
