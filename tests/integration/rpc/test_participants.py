"""The participants port against real servers: what every end of an RPC is read as."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from contracts.errors import DETAILS_KEY, RpcError, to_trailers
from contracts.metadata import VERDICT, VERDICT_STORED
from orchestrator.engine.ports import Answer, Call
from orchestrator.rpc.participants import ParticipantChannels
from orchestrator.rpc.targets import ChannelSettings, Target
from tests.integration.rpc.participant import PATH, SERVICE, Participant, serving

LIMIT = 10_000


def a_call(request: bytes = b"request", deadline_s: float = 10.0, service: str = SERVICE) -> Call:
    return Call(service, PATH, request, deadline_s, (("saga-id", "s"), ("saga-attempt", "1")))


@pytest.fixture
async def participant() -> AsyncIterator[Participant]:
    async with serving(Participant()) as served:
        yield served


@pytest.fixture
async def channels(participant: Participant) -> AsyncIterator[ParticipantChannels]:
    target = Target(f"127.0.0.1:{participant.port}")
    made = ParticipantChannels({SERVICE: [target]}, ChannelSettings(max_message_bytes=LIMIT))
    yield made
    await made.close()


@pytest.fixture
def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answer_with(participant: Participant, error: RpcError) -> None:
    async def handler(_request: bytes, context: Any) -> bytes:
        await context.abort(error.code, error.message, to_trailers(error))
        raise AssertionError("unreachable")

    participant.handler = handler


async def test_ok_carries_the_bytes_metadata_and_deadline(
    participant: Participant, channels: ParticipantChannels
) -> None:
    assert await channels.call(a_call(b"bytes")) == Answer(0, b"bytes")
    assert participant.metadata["saga-id"] == "s"
    assert 0 < participant.time_remaining_s < 10.5  # gRPC rounds a deadline up on its way


async def test_a_proven_rejection(participant: Participant, channels: ParticipantChannels) -> None:
    error = RpcError(
        grpc.StatusCode.FAILED_PRECONDITION,
        "OUT_OF_STOCK",
        "none left",
        domain="inventory.v1",
        trailers=((VERDICT, VERDICT_STORED),),
    )
    answer_with(participant, error)
    assert await channels.call(a_call()) == Answer(
        9, message="none left", reason="OUT_OF_STOCK", domain="inventory.v1", proven=True
    )


async def test_a_verdict_without_the_mark_proves_nothing(
    participant: Participant, channels: ParticipantChannels
) -> None:
    answer_with(
        participant, RpcError(grpc.StatusCode.NOT_FOUND, "NO_SKU", "?", domain="d", trailers=((VERDICT, "perhaps"),))
    )
    answer = await channels.call(a_call())
    assert (answer.code, answer.reason, answer.proven) == (5, "NO_SKU", False)


async def test_busy_with_a_delay(participant: Participant, channels: ParticipantChannels) -> None:
    answer_with(participant, RpcError(grpc.StatusCode.UNAVAILABLE, "LATER", "wait", retry_delay_s=2.5))
    answer = await channels.call(a_call())
    assert (answer.code, answer.retry_delay_s) == (14, 2.5)


async def test_a_bare_status_and_garbage_for_details(participant: Participant, channels: ParticipantChannels) -> None:
    async def garbage(_request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.INTERNAL, "x" * 5000, ((DETAILS_KEY, b"\xff\xff\xff"),))
        raise AssertionError("unreachable")

    participant.handler = garbage
    answer = await channels.call(a_call())
    assert (answer.code, answer.reason, answer.domain, answer.retry_delay_s) == (13, None, None, None)
    assert len(answer.message) == 1000


async def test_an_unknown_service_is_misconfigured(channels: ParticipantChannels) -> None:
    answer = await channels.call(a_call(service="nobody.v1.Nobody"))
    assert (answer.code, answer.reason) == (12, "NO_ADDRESS")
    assert "nobody.v1.Nobody" in answer.message


async def test_a_dead_port_is_unavailable_at_once(dead_port: int) -> None:
    channels = ParticipantChannels({SERVICE: [Target(f"127.0.0.1:{dead_port}")]})
    async with asyncio.timeout(5):
        answer = await channels.call(a_call(deadline_s=60))
    assert (answer.code, answer.proven) == (14, False)
    await channels.close()


async def test_the_deadline_ends_a_slow_call(participant: Participant, channels: ParticipantChannels) -> None:
    participant.handler = participant.hang
    answer = await channels.call(a_call(deadline_s=0.2))
    assert answer.code == 4
    async with asyncio.timeout(5):
        await participant.cancelled.wait()


async def test_cancelling_the_task_cancels_the_rpc(participant: Participant, channels: ParticipantChannels) -> None:
    participant.handler = participant.hang
    task = asyncio.create_task(channels.call(a_call(deadline_s=60)))
    async with asyncio.timeout(5):
        await participant.entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await participant.cancelled.wait()


async def test_closing_answers_the_calls_in_flight(participant: Participant, channels: ParticipantChannels) -> None:
    participant.handler = participant.hang
    task = asyncio.create_task(channels.call(a_call(deadline_s=60)))
    async with asyncio.timeout(5):
        await participant.entered.wait()
        await channels.close()
        assert (await task).code == 14
        assert (await channels.call(a_call())).code == 14


async def test_an_oversize_request_is_not_sent(participant: Participant, channels: ParticipantChannels) -> None:
    answer = await channels.call(a_call(b"x" * (LIMIT + 1)))
    assert (answer.code, answer.reason, answer.proven) == (3, "MESSAGE_TOO_LARGE", False)
    assert participant.calls == 0


async def test_an_oversize_response_is_an_unknown_outcome(
    participant: Participant, channels: ParticipantChannels
) -> None:
    async def large(_request: bytes, _context: Any) -> bytes:
        return b"x" * (LIMIT + 1)

    participant.handler = large
    answer = await channels.call(a_call())
    assert (answer.code, answer.reason, answer.proven) == (2, "MESSAGE_TOO_LARGE", False)
    assert answer.is_too_large


async def test_a_response_that_its_own_server_cannot_send_is_one_as_well(
    participant: Participant, channels: ParticipantChannels
) -> None:
    """What gRPC makes of it there would read as "busy"."""
    details = f"SERVER: Sent message larger than max ({LIMIT + 1} vs. {LIMIT})"

    async def unsendable(_request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, details)
        raise AssertionError("unreachable")

    participant.handler = unsendable
    answer = await channels.call(a_call())
    assert (answer.code, answer.is_too_large) == (2, True)


async def test_two_targets_share_the_calls() -> None:
    async with serving(Participant()) as one, serving(Participant()) as two:
        channels = ParticipantChannels({SERVICE: [Target(f"127.0.0.1:{each.port}") for each in (one, two)]})
        for _ in range(10):
            assert (await channels.call(a_call())).code == 0
        assert one.calls == two.calls == 5
        await channels.close()


async def test_a_dead_target_is_passed_over_and_found_again(dead_port: int) -> None:
    async with serving(Participant()) as alive:
        targets = [Target(f"127.0.0.1:{port}") for port in (dead_port, alive.port)]
        channels = ParticipantChannels({SERVICE: targets})
        codes = [(await channels.call(a_call())).code for _ in range(10)]
        assert sorted(set(codes)) == [0, 14]
        assert codes.count(14) <= 2
        async with serving(Participant(), dead_port) as back, asyncio.timeout(5):
            while not back.calls:  # its channel reconnects by itself
                assert (await channels.call(a_call())).code == 0
        await channels.close()


async def test_all_targets_dead_still_answers(dead_port: int) -> None:
    targets = [Target(f"127.0.0.1:{dead_port}"), Target(f"localhost:{dead_port}")]
    channels = ParticipantChannels({SERVICE: targets})
    assert {(await channels.call(a_call())).code for _ in range(6)} == {14}
    await channels.close()


async def test_a_restarted_participant_is_found_within_a_second() -> None:
    async with serving(Participant()) as first:
        port = first.port
        channels = ParticipantChannels({SERVICE: [Target(f"127.0.0.1:{port}")]})
        assert (await channels.call(a_call())).code == 0
    for _ in range(50):
        assert (await channels.call(a_call())).code == 14
    async with serving(Participant(), port), asyncio.timeout(3):
        while (await channels.call(a_call())).code != 0:
            pass
    await channels.close()
