"""Starting sagas and following them."""

import asyncio
import base64
import json

import grpc
import pytest
from grpc_reflection.v1alpha import reflection
from orders.v1.orders_pb2 import PlaceOrderRequest
from saga.v1 import event_pb2, saga_pb2

from orchestrator.cli.sagactl import input_types
from orchestrator.cli.sagactl.connection import Connection
from orchestrator.cli.sagactl.exits import CommandError, ExitCode
from orchestrator.cli.sagactl.options import Options
from tests.fixtures.sagactl import sagactl
from tests.integration.sagactl.harness import PAYLOAD, RUNNING_ID, Operator, Sagas, serving

ORDER = json.dumps({"orderId": "ORD-1", "warehouseId": "BER-1", "lines": [{"sku": "TEA", "quantity": 2}]})


def make_sagas() -> Sagas:
    return Sagas()  # type: ignore[abstract]  # its other methods answer UNIMPLEMENTED


async def test_json_becomes_the_input_of_the_definition_and_the_request_id_is_told() -> None:
    sagas = make_sagas()
    async with serving(Operator(), sagas) as address:
        first = await sagactl(address, "start", "place-order", "--request-id", "r-1", stdin=ORDER)
        again = await sagactl(address, "start", "place-order", "--request-id", "r-1", stdin=ORDER)
        new = await sagactl(address, "start", "place-order", "--output", "json", stdin=ORDER)
    assert first.exit_code == again.exit_code == 0, first.output
    assert PlaceOrderRequest.FromString(sagas.started[0].input).lines[0].sku == "TEA"
    assert "request id r-1" in first.stderr
    assert "started before" in again.stdout
    assert json.loads(new.stdout)["saga"]["sagaId"] == RUNNING_ID
    assert sagas.started[2].request_id in new.stderr


async def test_wrong_input_is_refused_before_anything_is_sent() -> None:
    sagas = make_sagas()
    async with serving(Operator(), sagas) as address:
        for text in ('{"order": 1}', "{", '{"lines": 5}', "[" * 10_000):
            result = await sagactl(address, "start", "place-order", stdin=text)
            assert result.exit_code == ExitCode.USAGE
            assert len(result.stderr.splitlines()) == 1
        missing = await sagactl(address, "start", "place-order", "--input", "/nowhere/order.json")
        assert missing.exit_code == ExitCode.USAGE
        unknown = await sagactl(address, "start", "no-such-definition", stdin="{}")
        assert unknown.exit_code == ExitCode.NOT_FOUND
    assert not sagas.started


async def test_a_lost_answer_says_how_to_repeat() -> None:
    sagas = make_sagas()
    sagas.lose_start = True
    async with serving(Operator(), sagas) as address:
        result = await sagactl(address, "start", "place-order", "--request-id", "r-9", stdin=ORDER)
    assert result.exit_code == ExitCode.NO_ANSWER
    assert "repeat the same command with --request-id r-9" in result.stderr


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (saga_pb2.SAGA_STATE_COMPLETED, ExitCode.OK),
        (saga_pb2.SAGA_STATE_STUCK, ExitCode.ENDED_OTHERWISE),
        (saga_pb2.SAGA_STATE_RUNNING, ExitCode.NO_ANSWER),
    ],
)
async def test_waiting_ends_with_the_saga_or_with_patience(state: saga_pb2.SagaState.ValueType, code: ExitCode) -> None:
    sagas = make_sagas()
    sagas.state = state
    async with serving(Operator(), sagas) as address:
        result = await sagactl(address, "start", "place-order", "--wait", "--wait-s", "1", stdin=ORDER)
    assert result.exit_code == code, result.output


async def test_the_node_s_reflection_tells_the_input_of_a_definition_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(input_types, "_installed", lambda *_: None)
    server = grpc.aio.server()
    reflection.enable_server_reflection(("orders.v1.OrderService", reflection.SERVICE_NAME), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def ask() -> list[str]:
        connection = Connection(Options(address=f"127.0.0.1:{port}"))
        try:
            by_definition = input_types.input_type(connection, "place-order", 0, None)
            by_name = input_types.input_type(connection, "anything", 0, "orders.v1.OrderLine")
            with pytest.raises(CommandError):
                input_types.input_type(connection, "unknown", 0, None)
        finally:
            connection.close()
        return [by_definition.full_name, by_name.full_name]

    try:
        assert await asyncio.to_thread(ask) == ["orders.v1.PlaceOrderRequest", "orders.v1.OrderLine"]
    finally:
        await server.stop(None)


@pytest.mark.parametrize("output", ["table", "json"])
async def test_a_watch_survives_lost_connections_and_tells_every_event_once(output: str) -> None:
    sagas = make_sagas()
    sagas.breaks = 2
    async with serving(Operator(), sagas) as address:
        result = await sagactl(address, "watch", RUNNING_ID, "--output", output)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    seqs = [int(json.loads(line)["seq"]) if output == "json" else int(line.split()[0]) for line in lines]
    assert seqs == [1, 2, 3, 4, 5, 6]
    assert base64.b64encode(PAYLOAD).decode() not in result.stdout
    assert PAYLOAD.decode() not in result.stdout
    assert "trying again from event 2 on" in result.stderr


async def test_a_watch_ends_with_a_code_of_its_own_if_the_saga_did_not_complete() -> None:
    sagas = make_sagas()
    sagas.end = event_pb2.EVENT_TYPE_SAGA_COMPENSATED
    async with serving(Operator(), sagas) as address:
        result = await sagactl(address, "watch", RUNNING_ID, "--after-seq", "4")
    assert result.exit_code == ExitCode.ENDED_OTHERWISE
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.parametrize("state", [saga_pb2.SAGA_STATE_STUCK, saga_pb2.SAGA_STATE_RUNNING])
async def test_a_watch_ends_where_the_saga_is_stuck_and_goes_past_where_it_was(
    state: saga_pb2.SagaState.ValueType,
) -> None:
    sagas = make_sagas()
    sagas.end, sagas.state = event_pb2.EVENT_TYPE_SAGA_STUCK, state
    async with serving(Operator(), sagas) as address:
        result = await sagactl(address, "watch", RUNNING_ID)
    assert result.exit_code == (ExitCode.ENDED_OTHERWISE if state == saga_pb2.SAGA_STATE_STUCK else ExitCode.OK)
    assert "SAGA_STUCK" in result.stdout
