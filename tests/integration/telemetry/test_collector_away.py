"""A collector that is away, slow or refuses costs spans, which are counted, and nothing else."""

import asyncio
import time

import grpc
from saga.v1 import saga_pb2

from contracts.traces.export import SpanCounts
from orchestrator.app import Node
from tests.fixtures.collector import Collector, collecting
from tests.integration.telemetry.conftest import Stage, until

SAGAS = 12
SPANS = SAGAS * 4
"""The RPC, the saga, and two attempts."""
STOP_S = 8.0
"""Of everything, with the time that the collector is given."""


def counts(node: Node) -> SpanCounts:
    assert node._traces is not None
    return node._traces.counts


async def run_sagas(stage: Stage, node: Node) -> None:
    """All of them complete; those who wait for them are traced as well."""
    ids = [await stage.start(node) for _ in range(SAGAS)]
    states = await asyncio.gather(*(stage.ends(node, saga_id) for saga_id in ids))
    assert set(states) == {saga_pb2.SAGA_STATE_COMPLETED}


async def stop_in_time(node: Node) -> None:
    began_s = time.monotonic()
    await node.stop()
    assert time.monotonic() - began_s < STOP_S


async def test_a_collector_that_never_answers(stage: Stage, collector: Collector) -> None:
    collector.gate.clear()
    settings = {"traces_timeout_s": 1.0, "traces_max_queued_spans": 10}
    node = await stage.node(traces_endpoint=collector.url, traces_ratio=1, **settings)
    await run_sagas(stage, node)
    seen = counts(node)
    assert seen.sent == 0
    assert seen.dropped >= SPANS - 10 - 10 * 2, "the queue is full, and what was taken from it is with the collector"
    await stop_in_time(node)
    assert counts(node).lost + counts(node).dropped >= SPANS


async def test_nobody_listens_and_then_somebody_does(stage: Stage) -> None:
    async with collecting() as gone:
        url = gone.url
    node = await stage.node(traces_endpoint=url, traces_ratio=1, traces_timeout_s=0.5)
    await run_sagas(stage, node)
    await until(lambda: counts(node).lost, "spans are given up, not kept for ever")
    assert counts(node).sent == 0
    async with collecting(int(url.rpartition(":")[2])) as back:
        saga_id = await stage.start(node)
        await stage.ends(node, saga_id)
        await back.saga(saga_id)
        await stop_in_time(node)


async def test_a_collector_that_refuses(stage: Stage, collector: Collector) -> None:
    collector.refusal = grpc.StatusCode.PERMISSION_DENIED
    node = await stage.node(traces_endpoint=collector.url, traces_ratio=1)
    await run_sagas(stage, node)
    await until(lambda: counts(node).lost >= SPANS, "it took none")
    assert counts(node) == SpanCounts(0, counts(node).lost, 0)
    await stop_in_time(node)


async def test_what_waits_at_a_shutdown_is_sent(stage: Stage, collector: Collector) -> None:
    node = await stage.node(traces_endpoint=collector.url, traces_ratio=1, traces_interval_s=600)
    saga_id = await stage.start(node)
    await stage.ends(node, saga_id)
    assert not [span for span in collector.spans if span.service == "saga-orchestrator"]
    await stop_in_time(node)
    await collector.saga(saga_id)
    assert counts(node).lost == counts(node).dropped == 0
