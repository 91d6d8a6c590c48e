"""Why a saga stands where it stands, and what can be done."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text
from saga.v1 import operator_pb2, saga_pb2
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.layouts.plans import failure_text, short
from orchestrator.cli.sagactl.layouts.sagas import ATTENTIONS, definition_of, state_of
from orchestrator.cli.sagactl.layouts.tables import bullet, heading
from orchestrator.cli.sagactl.words import ago, clock, word

_COMMANDS: Final = {
    operator_pb2.OPERATOR_ACTION_RETRY: "retry",
    operator_pb2.OPERATOR_ACTION_RETRY_COMPENSATION: "retry-compensation",
    operator_pb2.OPERATOR_ACTION_SKIP_STEP: "skip",
    operator_pb2.OPERATOR_ACTION_FORCE_COMPENSATION: "compensate",
    operator_pb2.OPERATOR_ACTION_RESOLVE: "resolve",
    operator_pb2.OPERATOR_ACTION_PAUSE: "pause",
    operator_pb2.OPERATOR_ACTION_RESUME: "resume",
}
"""The command of each action on a saga."""


def explanation(response: pb.ExplainSagaResponse, now: datetime) -> Iterator[RenderableType]:
    """The whole explanation, most important first, with the commands to type."""
    saga, told = response.saga, response.explanation
    yield Text.assemble((saga.saga_id, "bold"), f"  {definition_of(saga)}  {state_of(saga)}  version {told.version}")
    attention = word(ATTENTIONS, told.attention)
    yield Text.assemble((f"{attention}: ", "bold red") if attention else "", told.summary)
    if told.causes:
        yield heading("Why")
        yield from map(bullet, told.causes)
    yield heading("What happens by itself")
    yield from map(bullet, told.next or ["nothing: only an operator moves it"])
    if clock(told.next_time):
        yield bullet(f"first at {clock(told.next_time)} ({ago(told.next_time, now)})")
    possible = [each for each in told.options if each.plan.allowed]
    if possible:
        yield heading("What you can do")
        for each in possible:
            yield Text(_typed(each, response), "bold", overflow="ignore", no_wrap=True)  # to be copied in one piece
            yield Padding(short(each.plan), (0, 0, 0, 4))
        yield Text("Add --dry-run to see every call that it would make.", "dim")
    refused = [each for each in told.options if not each.plan.allowed]
    if refused:
        yield heading("What you cannot do")
        for each in refused:
            step = f" {each.step}" if each.step else ""
            yield bullet(f"{_name(each)}{step}: {failure_text(each.plan.refusal) or each.plan.summary}", "dim")


def _name(option: operator_pb2.ActionOption) -> str:
    return _COMMANDS.get(option.action, word(operator_pb2.OperatorAction.DESCRIPTOR, option.action).lower())


def _typed(option: operator_pb2.ActionOption, response: pb.ExplainSagaResponse) -> str:
    step = f" --step {option.step}" if option.step else ""
    if option.action == operator_pb2.OPERATOR_ACTION_SKIP_STEP:
        forward = option.plan.state_after == saga_pb2.SAGA_STATE_RUNNING
        step += " --response-json '{…}'" if forward else ""
    return f"sagactl {_name(option)} {response.saga.saga_id}{step} --expected-version {response.explanation.version}"
