"""Lists and streams: pages that meet without gaps, tokens bound to their filter, watches that end."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import event_pb2, saga_pb2
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import StoreUnavailable
from orchestrator.engine.stored import SagaFilter
from tests.integration.rpc.fakes import OTHER_ID, SAGA_ID, Served, a_saga, an_entry, failing, serving

if TYPE_CHECKING:  # the stubs' own name for what a channel of grpc.aio makes
    from saga.v1.saga_service_pb2_grpc import SagaServiceAsyncStub

Code = grpc.StatusCode
COMPLETED = event_pb2.EVENT_TYPE_SAGA_COMPLETED


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


@pytest.fixture
def sagas(served: Served) -> "SagaServiceAsyncStub":
    return SagaServiceStub(served.channel)


async def all_sagas(sagas: "SagaServiceAsyncStub", size: int) -> list[list[str]]:
    pages, token = [], ""
    while True:
        page = await sagas.ListSagas(pb.ListSagasRequest(page_size=size, page_token=token), timeout=10)
        pages.append([saga.saga_id for saga in page.sagas])
        token = page.next_page_token
        if not token:
            return pages


async def test_sagas_come_newest_first_in_pages(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    ids = [UUID(int=SAGA_ID.int + n) for n in range(5)]
    served.queries.sagas = [a_saga(saga_id=each) for each in ids]
    newest_first = [str(each) for each in reversed(ids)]
    assert await all_sagas(sagas, 2) == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert await all_sagas(sagas, 5) == [newest_first]
    assert await all_sagas(sagas, 0) == [newest_first]


async def test_no_sagas_is_one_empty_page(sagas: "SagaServiceAsyncStub") -> None:
    assert await all_sagas(sagas, 2) == [[]]


async def test_the_filter_reaches_the_store(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    where = pb.SagaFilter(
        definition="place-order",
        version=2,
        states=[saga_pb2.SAGA_STATE_STUCK, saga_pb2.SAGA_STATE_RUNNING],
        concurrency_key="o-1",
        create_time_from=Timestamp(seconds=1, nanos=5_000),
    )
    await sagas.ListSagas(pb.ListSagasRequest(filter=where), timeout=10)
    await sagas.ListSagas(pb.ListSagasRequest(), timeout=10)
    assert served.queries.filters == [
        SagaFilter("place-order", 2, (SagaStatus.STUCK, SagaStatus.RUNNING), "o-1", created_from_us=1_000_005),
        SagaFilter(),
    ]


@pytest.mark.parametrize(
    "where",
    [
        pb.SagaFilter(states=[saga_pb2.SAGA_STATE_UNSPECIFIED]),
        pb.SagaFilter(concurrency_key="\0"),
        pb.SagaFilter(definition="\0"),
        pb.SagaFilter(create_time_to=Timestamp(seconds=1 << 62)),
        pb.SagaFilter(create_time_to=Timestamp(nanos=-1)),
        pb.SagaFilter(version=-1),
    ],
)
async def test_a_filter_that_cannot_be(served: Served, sagas: "SagaServiceAsyncStub", where: pb.SagaFilter) -> None:
    code, info, message = await failing(sagas.ListSagas(pb.ListSagasRequest(filter=where), timeout=10))
    assert (code, info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert "filter." in message
    assert served.queries.filters == []


async def test_tokens_are_bound_to_what_is_listed(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.queries.sagas = [a_saga(saga_id=each) for each in (SAGA_ID, OTHER_ID)]
    token = (await sagas.ListSagas(pb.ListSagasRequest(page_size=1), timeout=10)).next_page_token
    assert token
    named = str(SAGA_ID)
    other = pb.SagaFilter(definition="other")
    calls = [
        sagas.ListSagas(pb.ListSagasRequest(page_token=token, filter=other), timeout=10),
        sagas.ListSagas(pb.ListSagasRequest(page_token=token[:-4]), timeout=10),
        sagas.ListSagas(pb.ListSagasRequest(page_token="not/base64\u00e9"), timeout=10),
        sagas.ListSagaEvents(pb.ListSagaEventsRequest(saga_id=named, page_token=token), timeout=10),
    ]
    for call in calls:
        code, info, message = await failing(call)
        assert (code, info.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN")
        assert "page_token" in message


async def test_events_come_in_pages(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.queries.entries = [an_entry(1), an_entry(2), an_entry(3, COMPLETED)]
    request = pb.ListSagaEventsRequest(saga_id=str(SAGA_ID), page_size=2)
    first = await sagas.ListSagaEvents(request, timeout=10)
    request.page_token = first.next_page_token
    second = await sagas.ListSagaEvents(request, timeout=10)
    assert [event.seq for event in (*first.events, *second.events)] == [1, 2, 3]
    assert second.next_page_token == ""
    assert first.events[0].step_succeeded.step == "reserve"
    assert second.events[0].WhichOneof("attributes") == "saga_completed"


async def test_a_page_is_bounded_by_its_size(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.queries.entries = [an_entry(1, size=15_000), an_entry(2, size=15_000), an_entry(3, size=30_000)]
    request = pb.ListSagaEventsRequest(saga_id=str(SAGA_ID))
    seen = []
    while True:
        page = await sagas.ListSagaEvents(request, timeout=10)
        seen.append([event.seq for event in page.events])
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert seen == [[1], [2], [3]]


async def test_a_watch_streams_what_comes_and_ends_with_the_saga(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.queries.entries = [an_entry(1), an_entry(2)]
    stream: Any = sagas.WatchSaga(pb.WatchSagaRequest(saga_id=str(SAGA_ID), after_seq=1), timeout=10)
    served.engine.growth.put_nowait(2)
    assert (await stream.read()).event.seq == 2
    served.queries.entries += [an_entry(seq) for seq in range(3, 250)]
    served.queries.entries.append(an_entry(250, COMPLETED))
    served.engine.saga = a_saga(SagaStatus.COMPLETED)
    served.engine.growth.put_nowait(250)
    served.engine.growth.put_nowait(None)
    rest = []
    while (response := await stream.read()) is not grpc.aio.EOF:
        rest.append(response.event)
    assert [event.seq for event in rest] == list(range(3, 251))
    assert rest[-1].type == COMPLETED
    assert await stream.code() is Code.OK


async def test_a_watcher_that_leaves_stops_following(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.queries.entries = [an_entry(1)]
    stream: Any = sagas.WatchSaga(pb.WatchSagaRequest(saga_id=str(SAGA_ID)), timeout=60)
    served.engine.growth.put_nowait(1)
    async with asyncio.timeout(5):
        await stream.read()
        stream.cancel()
        await served.engine.follow_ended.wait()


async def test_a_watch_that_fails_says_where_to_go_on(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.queries.entries = [an_entry(1), an_entry(2)]
    stream: Any = sagas.WatchSaga(pb.WatchSagaRequest(saga_id=str(SAGA_ID)), timeout=10)
    served.engine.growth.put_nowait(2)
    assert [(await stream.read()).event.seq for _ in range(2)] == [1, 2]
    served.engine.growth.put_nowait(StoreUnavailable())
    code, info, message = await failing(stream.read())
    assert (code, info.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert "after_seq 2" in message


async def test_a_watch_cut_short_by_the_node_is_no_end(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.queries.entries = [an_entry(1)]
    stream: Any = sagas.WatchSaga(pb.WatchSagaRequest(saga_id=str(SAGA_ID)), timeout=10)
    served.engine.growth.put_nowait(1)
    assert (await stream.read()).event.seq == 1
    served.engine.growth.put_nowait(None)
    code, info, message = await failing(stream.read())
    assert (code, info.reason) == (Code.UNAVAILABLE, "NODE_DRAINING")
    assert "after_seq 1" in message


async def test_a_watch_does_not_last_forever() -> None:
    async with serving(max_watch_s=0.01) as served:
        served.queries.entries = [an_entry(1)]
        stream: Any = SagaServiceStub(served.channel).WatchSaga(pb.WatchSagaRequest(saga_id=str(SAGA_ID)), timeout=60)
        code, info, message = await failing(stream.read())
        assert (code, info.reason) == (Code.DEADLINE_EXCEEDED, "OUTCOME_PENDING")
        assert "after_seq 0" in message
        async with asyncio.timeout(5):
            await served.engine.follow_ended.wait()
