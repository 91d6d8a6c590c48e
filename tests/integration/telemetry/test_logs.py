"""Every log line that concerns a saga says which, and which attempt of which step in which trace, and no payload."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import structlog
from saga.v1 import saga_pb2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.logs import configure_logs
from participants.kit import Busy, Rejected, StepContext
from participants.kit.correlation import add_step
from tests.integration.telemetry.conftest import Stage

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"
SECRET = "order-of-a-secret"
OF_ATTEMPTS = {
    "attempt_failed",
    "step_refused",
    "step_failed",
    "step_answered",
    "handler_says",
    "transaction_runs_again",
}
OF_SAGAS = OF_ATTEMPTS | {"saga_resumed", "handler_failed"}


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Nodes and participants log as their commands have them; other tests log as they did."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    configure_logs("debug", json=True, fields={"node_name": "node-0"}, processors=[add_step])
    monkeypatch.undo()
    yield stream
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def lines(said: str) -> list[dict[str, Any]]:
    """What was logged: every line is an object, whoever wrote it."""
    return [json.loads(line) for line in said.splitlines()]


async def test_every_line_about_a_saga_that_fails_names_it(stage: Stage, logged: io.StringIO) -> None:
    deadlocks: set[str] = set()

    async def on_action(step: StepContext, db: AsyncConnection) -> None:
        structlog.get_logger("handlers").info("handler_says")
        if step.step == "first" and step.attempt == 1:
            raise Busy(0.01, message=SECRET)
        if step.step == "first" and step.attempt == 2:
            raise RuntimeError(SECRET)
        if step.step == "first" and not deadlocks:
            deadlocks.add(step.step)
            await db.execute(text("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40P01'; END $$"))
        if step.step == "second":
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "SOLD_OUT", SECRET)

    stage.probe.on_action = on_action
    node = await stage.node()
    saga_id = await stage.start(node, UNSAMPLED, order_id=SECRET)
    assert await stage.ends(node, saga_id) == saga_pb2.SAGA_STATE_COMPENSATED
    said = logged.getvalue()
    found = lines(said)
    assert SECRET not in said
    assert {line["node_name"] for line in found} == {"node-0"}
    assert all(line.keys() >= {"event", "level", "timestamp"} for line in found)
    about = [line for line in found if line["event"] in OF_SAGAS or "saga_id" in line]
    assert {line["event"] for line in about} >= OF_ATTEMPTS | {"handler_failed"}, "each of them was provoked"
    for line in about:
        assert (line["saga_id"], line["trace_id"]) == (str(saga_id), TRACE), line
        if line["event"] in OF_ATTEMPTS:
            assert line["step"] in {"first", "second"}, line
            assert line["attempt"] >= 1, line


async def test_what_a_library_logs_is_a_line_like_ours(logged: io.StringIO) -> None:
    try:
        int(SECRET)
    except ValueError as error:
        logging.getLogger("somebody").warning("it failed: %s", error, exc_info=True)
    said = logged.getvalue()
    (line,) = lines(said)
    assert (line["event"], line["logger"], line["node_name"]) == ("library_said", "somebody", "node-0")
    assert line["message"].startswith("it failed: ValueError")
    assert SECRET not in said
