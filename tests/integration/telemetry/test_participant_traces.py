"""What a participant's spans tell of the barrier, without a node."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, replace

import grpc
import pytest
from inventory.v1.inventory_saga import InventoryService
from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts import metadata as keys
from participants.kit import Busy, Rejected, StepContext
from tests.fixtures.collector import Collector, Span
from tests.fixtures.postgres import DatabaseFactory
from tests.integration.participants.calls import Caller, call
from tests.integration.participants.conftest import Served, probe_database, serving
from tests.integration.participants.probe import Probe, release_request, reserve_request

OUTCOME = "saga.barrier.outcome"


@dataclass
class Hall:
    served: Served
    probe: Probe
    collector: Collector

    async def outcomes(self, caller: Caller, count: int) -> list[str]:
        """What the barrier made of the step's calls, in order."""
        return [str(span.attributes[OUTCOME]) for span in await self.handlers(caller, count)]

    async def handlers(self, caller: Caller, count: int) -> list[Span]:
        def own(spans: list[Span]) -> list[Span]:
            return [span for span in spans if span.kind == "SERVER" and span.trace_id == caller.saga_id.hex]

        found = own(await self.collector.until(lambda spans: len(own(spans)) >= count, f"{count} handlers"))
        return sorted(found, key=lambda span: span.began_ns)


@pytest.fixture
async def hall(fresh_database: DatabaseFactory, collector: Collector) -> AsyncIterator[Hall]:
    probe = Probe()
    traces = {"traces_endpoint": collector.url, "traces_interval_s": 0.05, "traces_ratio": 0}
    async with serving(probe.participant(), await probe_database(fresh_database), **traces) as served:
        yield Hall(served, probe, collector)


async def refused(answer: Awaitable[object]) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await answer


async def test_each_thing_that_the_barrier_does_has_its_word(hall: Hall) -> None:
    caller = hall.served.caller()
    await caller.act(InventoryService.Reserve, reserve_request())
    await caller.act(InventoryService.Reserve, reserve_request())
    await refused(caller.act(InventoryService.Reserve, reserve_request(quantity=2)))
    await caller.under(2).undo(InventoryService.Release, release_request())
    await caller.under(2).undo(InventoryService.Release, release_request())
    await refused(caller.under(2).act(InventoryService.Reserve, reserve_request()))
    await refused(caller.act(InventoryService.Reserve, reserve_request()))
    await caller.under(2).settle()
    assert await hall.outcomes(caller, 8) == [
        *("ran", "replayed", "key_reused", "undone", "replayed", "superseded", "stale_epoch", "settled_undone")
    ]
    never = hall.served.caller()
    await never.undo(InventoryService.Release, release_request())
    await never.settle()
    assert await hall.outcomes(never, 2) == ["nothing_to_undo", "settled_tombstone"]


async def test_what_handlers_say_shows_and_is_no_failure_of_the_database(hall: Hall) -> None:
    answers = iter([Busy(0.1), Rejected(grpc.StatusCode.NOT_FOUND, "NO_SUCH_ARTICLE", "words")])

    async def on_action(_step: StepContext, _db: AsyncConnection) -> None:
        raise next(answers)

    hall.probe.on_action = on_action
    caller = hall.served.caller()
    for _ in range(3):
        await refused(caller.act(InventoryService.Reserve, reserve_request()))
    assert await hall.outcomes(caller, 3) == ["busy", "rejected", "verdict_replayed"]
    handlers = await hall.handlers(caller, 3)
    codes = [span.attributes["rpc.response.status_code"] for span in handlers]
    assert codes == ["RESOURCE_EXHAUSTED", "NOT_FOUND", "NOT_FOUND"]
    transactions = [span for span in hall.collector.spans if span.name == "transaction"]
    assert not any(span.failed for span in (*handlers, *transactions)), "answers, not errors"


async def test_a_defect_is_an_error_of_the_server(hall: Hall) -> None:
    async def on_action(_step: StepContext, _db: AsyncConnection) -> None:
        raise ValueError("words")

    hall.probe.on_action = on_action
    caller = hall.served.caller()
    await refused(caller.act(InventoryService.Reserve, reserve_request()))
    (handler,) = await hall.handlers(caller, 1)
    assert handler.failed
    assert handler.attributes["rpc.response.status_code"] == handler.attributes["error.type"] == "INTERNAL"
    (transaction,) = [span for span in hall.collector.spans if span.parent_id == handler.span_id]
    assert transaction.failed


async def test_a_handlers_own_instrumentation_finds_the_span(hall: Hall) -> None:
    seen: list[trace.SpanContext] = []

    async def on_action(_step: StepContext, _db: AsyncConnection) -> None:
        seen.append(trace.get_current_span().get_span_context())

    hall.probe.on_action = on_action
    caller = hall.served.caller()
    await caller.act(InventoryService.Reserve, reserve_request())
    (handler,) = await hall.handlers(caller, 1)
    assert [f"{each.span_id:016x}" for each in seen] == [handler.span_id]
    assert seen[0].trace_flags.sampled


async def test_a_call_that_is_not_sampled_leaves_nothing(hall: Hall) -> None:
    unsampled = hall.served.caller()
    metadata = [
        (key, value.replace("-01", "-00") if key == keys.TRACEPARENT else value)
        for key, value in unsampled.metadata(keys.PHASE_ACTION)
    ]
    await call(hall.served.channel, InventoryService.Reserve, reserve_request(), metadata)
    none = [
        pair for pair in replace(unsampled, step="other").metadata(keys.PHASE_ACTION) if pair[0] != keys.TRACEPARENT
    ]
    await call(hall.served.channel, InventoryService.Reserve, reserve_request(), none)
    sampled = hall.served.caller()
    await sampled.act(InventoryService.Reserve, reserve_request())
    await hall.handlers(sampled, 1)
    assert {span.trace_id for span in hall.collector.spans} == {sampled.saga_id.hex}
