"""Streams end when what let their callers in does not count any more, and not before."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as operator_pb
from saga.v1 import saga_service_pb2 as pb

from tests.fixtures.tokens import bearer, new_key
from tests.integration.engine.harness import until
from tests.security.access.served import CALL_S, POLICY, Guarded, told

BOUND_S = 10.0
"""Far above the 50 ms after which files are looked at again here, for a busy machine."""


@pytest.fixture
async def held(guarded: Guarded) -> AsyncIterator[str]:
    """A saga that goes nowhere until the test is over."""
    gate = guarded.rig.world.gates["reserve/action"] = asyncio.Event()
    yield str(await guarded.start("starter"))
    gate.set()


async def watch(guarded: Guarded, saga_id: str, token: str) -> Any:
    """A stream that is under way: its first event has come."""
    request = pb.WatchSagaRequest(saga_id=saga_id)
    stream = aiter(guarded.sagas().WatchSaga(request, timeout=CALL_S, metadata=bearer(token)))
    assert (await anext(stream)).event.seq == 1
    return stream


async def end(stream: Any) -> tuple[grpc.StatusCode, str]:
    """How a stream ends, within the bound."""
    async with asyncio.timeout(BOUND_S):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stream:
                pass
    return caught.value.code(), told(caught.value).reason


async def test_a_stream_ends_with_its_token(guarded: Guarded, held: str) -> None:
    end_s = time.time() + 3
    short = await watch(guarded, held, guarded.issuer.token("starter", exp=end_s))
    long = await watch(guarded, held, guarded.issuer.token("starter"))
    assert await end(short) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert time.time() >= int(end_s)
    guarded.rig.world.gates["reserve/action"].set()
    async with asyncio.timeout(BOUND_S):
        assert [answer.event async for answer in long], "the other one goes on to its saga's end"
    assert not guarded.server._access.interceptor.streams  # type: ignore[union-attr]  # the fixture gives one


async def test_a_stream_of_a_bulk_ends_with_its_token(guarded: Guarded, held: str) -> None:
    other = str(await guarded.start("starter"))
    request: Any = operator_pb.StartBulkRequest(
        request_id="b",
        query=op.SagaQuery(saga_ids=[held, other]),
        action=op.BulkAction(action=op.OPERATOR_ACTION_PAUSE),
        reason="a test",
        rate_per_s=0.001,  # the second member waits for a quarter of an hour
    )
    bulk_id = (await guarded.call("StartBulk", request, "operator")).bulk.bulk_id
    token = guarded.issuer.token("bob", groups="saga-operators", exp=time.time() + 3)
    request = operator_pb.WatchBulkRequest(bulk_id=bulk_id)
    stream = aiter(guarded.operators().WatchBulk(request, timeout=CALL_S, metadata=bearer(token)))
    code, reason = await end(stream)
    assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "policy",
    [
        "",
        POLICY.replace('subject = "starter"', 'subject = "nobody"'),
        POLICY.replace(
            'subject = "starter"\nroles = ["starter"]\ndefinitions = ["line"]\ntenant = "acme"',
            'subject = "starter"\nroles = ["reader"]\ntenant = "globex"',
        ),
        POLICY.replace(
            'subject = "starter"\nroles = ["starter"]\ndefinitions = ["line"]\ntenant = "acme"',
            'subject = "starter"\nroles = ["starter"]\ndefinitions = ["line"]\ntenant = "globex"',
        ),
    ],
    ids=["nobody is known", "it is not named", "another tenant's reader", "another tenant"],
)
async def test_a_stream_ends_when_the_policy_takes_it_away(guarded: Guarded, held: str, policy: str) -> None:
    assert policy != POLICY
    stream = await watch(guarded, held, guarded.issuer.token("starter"))
    guarded.rewrite(policy)
    assert await end(stream) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_a_stream_goes_on_when_the_policy_gives_more(guarded: Guarded, held: str) -> None:
    stream = await watch(guarded, held, guarded.issuer.token("starter"))
    interceptor = guarded.server._access.interceptor  # type: ignore[union-attr]  # the fixture gives one
    before = interceptor.callers
    guarded.rewrite(
        POLICY.replace(
            'subject = "starter"\nroles = ["starter"]', 'subject = "starter"\nroles = ["starter", "operator"]'
        )
    )
    await until(lambda: interceptor.callers is not before)
    guarded.server._access.look()  # type: ignore[union-attr]  # as above: judged once more
    guarded.rig.world.gates["reserve/action"].set()
    async with asyncio.timeout(BOUND_S):
        assert [answer.event async for answer in stream]


async def test_a_stream_ends_when_its_issuer_drops_the_key(guarded: Guarded, held: str) -> None:
    stream = await watch(guarded, held, guarded.issuer.token("starter"))
    guarded.issuer.keys = [new_key("second")]
    guarded.issuer.publish(guarded.folder / "jwks.json")
    assert await end(stream) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_a_client_that_leaves_is_forgotten(guarded: Guarded, held: str) -> None:
    request = pb.WatchSagaRequest(saga_id=held)
    stream = guarded.sagas().WatchSaga(request, timeout=CALL_S, metadata=guarded.metadata("starter"))
    await stream.read()
    streams = guarded.server._access.interceptor.streams  # type: ignore[union-attr]  # the fixture gives one
    assert len(streams) == 1
    stream.cancel()
    await until(lambda: not streams)
