"""What operators do is written down under the name that they proved, by whichever means."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb

from contracts.tls import ServerTls
from orchestrator.rpc.settings import RpcSettings
from tests.fixtures.certificates import LOOPBACK, Authority, replace
from tests.integration.engine.harness import Rig
from tests.security.access.served import CALL_S, guarded_node

SHOP = "spiffe://example.test/shop"


async def test_actions_bulks_and_requests_carry_the_caller(rig: Rig, tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue(*LOOPBACK).write(tmp_path, "node")
    tls = ServerTls(certificate, key, replace(tmp_path / "ca.pem", authority.certificate))
    rpc = RpcSettings(listen_address="127.0.0.1:0", tls=tls, max_wait_s=20.0)
    client = authority.issue("client.test", uris=[SHOP])
    credentials = grpc.ssl_channel_credentials(authority.certificate, client.key, client.certificate)
    gate = rig.world.gates["reserve/action"] = asyncio.Event()
    async with (
        guarded_node(rig, tmp_path, rpc=rpc) as guarded,
        grpc.aio.secure_channel(f"127.0.0.1:{guarded.port}", credentials) as channel,
    ):
        guarded.channel = channel
        saga_id = str(await guarded.start("starter"))
        stored = await guarded.rig.stored(UUID(saga_id))
        assert (stored.caller, stored.tenant) == ("login/starter", "acme")

        async def pause(who: str | None, request_id: str) -> None:
            version = (await guarded.rig.stored(UUID(saga_id))).last_seq
            request = pb.PauseSagaRequest(
                request_id=request_id, saga_id=saga_id, expected_version=version, reason="a test"
            )
            await guarded.call("PauseSaga", request, who)

        await pause("operator", "by-token")
        await resume(guarded, saga_id)
        await pause(None, "by-certificate")
        request: Any = pb.StartBulkRequest(
            request_id="bulk",
            query=op.SagaQuery(saga_ids=[saga_id]),
            action=op.BulkAction(action=op.OPERATOR_ACTION_RESUME),
            reason="a test",
        )
        await guarded.call("StartBulk", request, "operator")
        rows = await rig.db.fetch("SELECT request_id, caller FROM operator_audit ORDER BY audit_id")
        named = {row["request_id"]: row["caller"] for row in rows}
        assert named["by-token"] == "login/operator"
        assert named["by-certificate"] == SHOP
        assert named["bulk"] == "login/operator"
        asked = await rig.db.fetch("SELECT DISTINCT caller FROM saga_request")
        assert {row["caller"] for row in asked} <= {"login/operator", SHOP}
        shown = await guarded.call("ListAudit", pb.ListAuditRequest(), "reader")
        assert {entry.caller for entry in shown.entries} == {"login/operator", SHOP}
        gate.set()


async def resume(guarded: Any, saga_id: str) -> None:
    version = (await guarded.rig.stored(UUID(saga_id))).last_seq
    request = pb.ResumeSagaRequest(request_id="resume", saga_id=saga_id, expected_version=version, reason="a test")
    await guarded.operators().ResumeSaga(request, timeout=CALL_S)
