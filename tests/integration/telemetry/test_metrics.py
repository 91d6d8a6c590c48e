"""What a whole node tells Prometheus of sagas that complete, are undone, and get stuck."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import grpc
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from saga.v1 import saga_pb2
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.http_server import HttpAddressError
from contracts.tls import ServerTls
from orchestrator.app import Node
from orchestrator.telemetry.metrics_server import MetricsServer
from participants.kit.call import StepContext
from participants.kit.verdicts import Busy, Rejected
from tests.fixtures.certificates import LOOPBACK, Authority
from tests.integration.telemetry.conftest import CALL_S, Stage

SECRET = "alice@example.org"
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def page(url: str, context: ssl.SSLContext | None = None) -> str:
    def read() -> str:
        with urlopen(url, timeout=CALL_S, context=context) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(read)


async def scrape(node: Node) -> Values:
    families = text_string_to_metric_families(await page(node.metrics_url))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float:
    """The sum of the series that have these labels."""
    return sum(found for (known, has), found in values.items() if known == name and has >= set(labels.items()))


async def until(node: Node, condition: Callable[[Values], bool]) -> Values:
    async with asyncio.timeout(CALL_S):
        while True:
            values = await scrape(node)
            if condition(values):
                return values
            await asyncio.sleep(0.02)


async def test_every_end_and_attempt_is_counted(stage: Stage) -> None:
    refuses: set[str] = set()
    busy = iter([True])

    async def on_action(step: StepContext, _db: AsyncConnection) -> None:
        if step.step == "first" and next(busy, False):
            raise Busy(0.05)
        if step.step in refuses:
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "SOLD_OUT", f"none for {SECRET}")

    async def on_undo(_step: StepContext, _db: AsyncConnection) -> None:
        if "undo" in refuses:
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, f"reason of {SECRET}", "too late")

    stage.probe.on_action, stage.probe.on_undo = on_action, on_undo
    node = await stage.node(metrics_address="127.0.0.1:0", attention_interval_s=0.05)
    ended = [await stage.ends(node, await stage.start(node))]
    refuses.add("second")
    ended.append(await stage.ends(node, await stage.start(node)))
    refuses.add("undo")
    ended.append(await stage.ends(node, await stage.start(node)))
    assert ended == [saga_pb2.SAGA_STATE_COMPLETED, saga_pb2.SAGA_STATE_COMPENSATED, saga_pb2.SAGA_STATE_STUCK]

    found = await until(node, lambda values: value(values, "saga_attention", kind="STUCK") == 1)
    assert value(found, "saga_started_total", definition="pair v1") == 3
    for state in ("COMPLETED", "COMPENSATED", "STUCK"):
        assert value(found, "saga_halted_total", state=state) == 1, state
    assert value(found, "saga_duration_seconds_count", state="COMPLETED") == 1
    assert 0 < value(found, "saga_duration_seconds_sum", state="COMPLETED") < 60
    assert value(found, "saga_stuck_total", step="first", reason="FAILED_PRECONDITION") == 1
    attempts = {
        (step, phase, outcome): value(found, "saga_attempts_total", step=step, phase=phase, outcome=outcome)
        for step, phase, outcome in (
            ("first", "action", "SUCCESS"),
            ("first", "action", "BUSY"),
            ("second", "action", "REJECTED"),
            ("first", "compensation", "SUCCESS"),
        )
    }
    assert list(attempts.values()) == [3, 1, 2, 1]
    reserve = {"service": "inventory.v1.InventoryService", "method": "Reserve"}
    assert value(found, "saga_call_duration_seconds_count", **reserve) == 7
    assert value(found, "saga_waits_total", step="first", kind="backoff") >= 1
    assert value(found, "saga_commit_sagas_sum") >= 3
    assert value(found, "saga_rpc_duration_seconds_count", method="saga.v1.SagaService/StartSaga", code="OK") == 3
    assert value(found, "saga_node_healthy") == value(found, "saga_store_answers") == 1
    assert 0 < value(found, "saga_lease_left_seconds") <= 5
    assert value(found, "saga_in_memory") == 0
    assert SECRET not in await page(node.metrics_url)


async def test_calls_that_fail_and_methods_that_do_not_exist_are_counted(stage: Stage) -> None:
    node = await stage.node(metrics_address="127.0.0.1:0")
    channel = await stage.channel(node)
    with pytest.raises(grpc.aio.AioRpcError):
        await SagaServiceStub(channel).GetSaga(pb.GetSagaRequest(saga_id="no id"), timeout=CALL_S)
    for number in range(3):
        with pytest.raises(grpc.aio.AioRpcError):
            await cast("Any", channel.unary_unary(f"/no.Such/Method{number}"))(b"", timeout=CALL_S)
    found = await scrape(node)
    assert value(found, "saga_rpc_duration_seconds_count", code="INVALID_ARGUMENT") == 1
    assert value(found, "saga_rpc_unserved_total") == 3
    assert value(found, "saga_rpc_in_flight") == 0


async def test_there_is_one_page() -> None:
    server = MetricsServer("127.0.0.1:0", CollectorRegistry())
    url = await server.start()
    with pytest.raises(HTTPError, match="404") as caught:
        await page(url.replace("/metrics", "/"))
    caught.value.close()
    taken = MetricsServer(url.removeprefix("http://").removesuffix("/metrics"), CollectorRegistry())
    with pytest.raises(HttpAddressError, match="cannot listen"):
        await taken.start()
    await server.stop()
    await server.stop()


async def test_over_tls_whoever_scrapes_proves_who_it_is(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    cert, key = authority.issue(*LOOPBACK).write(tmp_path, "node")
    server = MetricsServer("127.0.0.1:0", CollectorRegistry(), ServerTls(cert, key, tmp_path / "ca.pem"))
    url = await server.start()
    try:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        with pytest.raises((URLError, ssl.SSLError, ConnectionError)):
            await page(url, context)
        context.load_cert_chain(*authority.issue("prometheus").write(tmp_path, "prometheus"))
        assert await page(url, context) is not None
    finally:
        await server.stop()
