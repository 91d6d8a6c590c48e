"""Actions: what is asked before, what is sent, and how each end is told."""

import json
from typing import Any

import grpc
import pytest
from saga.v1 import operator_pb2 as op

from contracts.errors import Reason, RpcError
from orchestrator.cli.sagactl import confirming
from orchestrator.cli.sagactl.exits import ExitCode
from tests.fixtures.sagactl import sagactl
from tests.integration.sagactl.harness import BULK_ID, RUNNING_ID, STUCK_ID, UNKNOWN_ID, Operator, serving

WHY = ("--reason", "the card works again")


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ("retry", op.OPERATOR_ACTION_RETRY),
        ("retry-compensation", op.OPERATOR_ACTION_RETRY_COMPENSATION),
        ("skip", op.OPERATOR_ACTION_SKIP_STEP),
        ("compensate", op.OPERATOR_ACTION_FORCE_COMPENSATION),
        ("resolve", op.OPERATOR_ACTION_RESOLVE),
        ("pause", op.OPERATOR_ACTION_PAUSE),
        ("resume", op.OPERATOR_ACTION_RESUME),
    ],
)
async def test_every_action_carries_its_reason_and_the_version_that_was_read(
    command: str, action: op.OperatorAction.ValueType
) -> None:
    operator = Operator()
    async with serving(operator) as address:
        dry = await sagactl(address, command, STUCK_ID, "--dry-run")
        assert dry.exit_code == 0, dry.output
        assert "payment.v1.PaymentService/Charge" in dry.stdout
        assert not operator.audit
        done = await sagactl(address, command, STUCK_ID, *WHY, "--yes")
    assert done.exit_code == 0, done.output
    assert "version 5" in done.stderr
    assert "request id" in done.stderr
    assert "version 7" in done.stdout
    assert [(each.action, each.reason) for each in operator.audit] == [(action, WHY[1])]


async def test_a_skip_carries_the_response_and_the_same_request_is_repeated_under_its_id() -> None:
    operator = Operator()
    async with serving(operator) as address:
        response = ("--step", "charge", "--response-file", "-", "--request-id", "r-1", "--expected-version", "5")
        result = await sagactl(address, "skip", STUCK_ID, *response, *WHY, "-y", stdin='{"chargeId": "c-1"}')
        assert result.exit_code == 0, result.output
        both = await sagactl(address, "skip", STUCK_ID, "--response-json", "{}", *response, *WHY, "-y")
        assert both.exit_code == ExitCode.USAGE
    (sent,) = operator.requests
    assert (sent.step, sent.response_json, sent.request_id) == ("charge", '{"chargeId": "c-1"}', "r-1")


async def test_nothing_is_done_where_nobody_can_confirm_or_say_why() -> None:
    operator = Operator()
    async with serving(operator) as address:
        for arguments in (WHY, ("--yes",), ("--yes", "--reason", "  "), ("--yes", "--reason", "x" * 1001)):
            result = await sagactl(address, "retry", STUCK_ID, *arguments)
            assert result.exit_code == ExitCode.USAGE, result.output
            assert len(result.stderr.splitlines()) <= 2
    assert not operator.audit


@pytest.mark.parametrize(("answer", "code"), [("y\n", ExitCode.OK), ("n\n", ExitCode.NOT_CONFIRMED), ("", 9)])
async def test_a_person_is_asked_why_and_sees_the_plan_before_confirming(
    answer: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirming, "interactive", lambda: True)
    operator = Operator()
    async with serving(operator) as address:
        result = await sagactl(address, "retry", STUCK_ID, stdin=f"called the bank\n{answer}")
    assert result.exit_code == code, result.output
    assert "payment.v1.PaymentService/Charge" in result.stderr
    assert [each.reason for each in operator.audit] == (["called the bank"] if code == 0 else [])


async def test_exit_codes_say_what_became_of_it() -> None:
    class Moody(Operator):
        async def PauseSaga(self, request: Any, context: Any) -> Any:  # noqa: N802  (the contract's name)
            raise error

    error = RpcError(grpc.StatusCode.FAILED_PRECONDITION, Reason.SAGA_STATE, "it is COMPLETED")
    async with serving(Moody()) as address:
        lost = await sagactl(address, "retry", STUCK_ID, *WHY, "-y", "--expected-version", "3")
        assert lost.exit_code == ExitCode.LOST_RACE
        assert "VERSION_CHANGED" in lost.stderr
        unknown = await sagactl(address, "retry", UNKNOWN_ID, *WHY, "-y")
        assert unknown.exit_code == ExitCode.NOT_FOUND
        refused = await sagactl(address, "retry", RUNNING_ID, "--dry-run")
        assert refused.exit_code == ExitCode.REFUSED
        for code, reason, expected in (
            (grpc.StatusCode.FAILED_PRECONDITION, Reason.SAGA_STATE, ExitCode.REFUSED),
            (grpc.StatusCode.UNAVAILABLE, Reason.STORE_UNAVAILABLE, ExitCode.NO_ANSWER),
            (grpc.StatusCode.DEADLINE_EXCEEDED, Reason.OUTCOME_PENDING, ExitCode.NO_ANSWER),
            (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED", ExitCode.DENIED),
            (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.TOO_MANY_REQUESTS, ExitCode.BUSY),
            (grpc.StatusCode.INTERNAL, Reason.INTERNAL, ExitCode.DEFECT),
            (grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_REQUEST, ExitCode.USAGE),
        ):
            error = RpcError(code, reason, "said by the node")
            result = await sagactl(address, "pause", STUCK_ID, *WHY, "-y", "--request-id", "r-2")
            assert result.exit_code == expected
            assert "said by the node" in result.stderr.splitlines()[-1]
            if expected is ExitCode.NO_ANSWER:
                assert "--request-id r-2 --expected-version 5" in result.stderr
        told = await sagactl(address, "--output", "json", "pause", STUCK_ID, *WHY, "-y")
    assert json.loads(told.stderr.splitlines()[-1])["error"]["reason"] == Reason.INVALID_REQUEST
    assert told.stdout == ""


async def test_a_bulk_shows_its_dry_run_asks_and_is_followed_through_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(confirming, "interactive", lambda: True)
    operator = Operator()
    operator.breaks = 2
    async with serving(operator) as address:
        result = await sagactl(address, "bulk", "start", "retry", "--state", "stuck", *WHY, stdin="y\n")
        assert result.exit_code == 0, result.output
        assert "retry on 10 sagas" in result.stderr
        assert "trying again" in result.stderr
        assert "DONE" in result.stdout
        assert [each.validate_only for each in operator.requests] == [True, False]
        assert len({each.request_id for each in operator.requests}) == 1
        shown = await sagactl(address, "bulk", "list")
        assert BULK_ID in shown.stdout
        refused = await sagactl(address, "bulk", "members", BULK_ID, "--outcome", "refused")
        assert "SAGA_STATE: it is COMPLETED" in refused.stdout
        over = await sagactl(address, "bulk", "cancel", BULK_ID, *WHY, "-y")
        assert over.exit_code == ExitCode.REFUSED


async def test_a_bulk_with_refused_members_or_without_any_says_so() -> None:
    operator = Operator()
    operator.refused = 3
    async with serving(operator) as address:
        result = await sagactl(address, "bulk", "start", "retry", "--state", "stuck", *WHY, "-y", "--output", "json")
        assert result.exit_code == ExitCode.REFUSED
        assert json.loads(result.stdout)["bulk"]["refused"] == "3"
        detached = await sagactl(address, "bulk", "start", "retry", "--state", "stuck", *WHY, "-y", "--detach")
        assert detached.exit_code == 0
        for arguments in (("retry",), ("explode", "--state", "stuck")):
            assert (await sagactl(address, "bulk", "start", *arguments, *WHY, "-y")).exit_code == ExitCode.USAGE
        assert (await sagactl(address, "bulk", "watch", UNKNOWN_ID)).exit_code == ExitCode.NOT_FOUND
        assert (await sagactl(address, "bulk", "get", UNKNOWN_ID)).exit_code == ExitCode.NOT_FOUND


async def test_participants_are_held_and_released_and_nodes_drained() -> None:
    operator, service = Operator(), "payment.v1.PaymentService"
    async with serving(operator) as address:
        assert (await sagactl(address, "participants", "hold", service, "--dry-run")).exit_code == 0
        assert not operator.held
        held = await sagactl(address, "participants", "hold", service, *WHY, "-y")
        assert "held by local: the card" in held.stdout
        assert operator.held == {service}
        assert (await sagactl(address, "participants", "release", service, *WHY, "-y")).exit_code == 0
        assert not operator.held
        assert (await sagactl(address, "participants", "hold", "none", *WHY, "-y")).exit_code == ExitCode.NOT_FOUND
        node = "01900000-0000-7000-a000-000000000001"
        assert "7 sagas" in (await sagactl(address, "nodes", "drain", node, "--dry-run")).stderr
        drained = await sagactl(address, "nodes", "drain", node, *WHY, "-y")
        assert "2026-09-21" in drained.stdout
