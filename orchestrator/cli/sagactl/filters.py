"""The options that select sagas, and the query that they make."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import typer
from google.protobuf.descriptor import EnumDescriptor
from saga.v1 import operator_pb2, saga_pb2

from orchestrator.cli.sagactl.words import number_of, parse_span, parse_time, words

STATES: Final = saga_pb2.SagaState.DESCRIPTOR
ATTENTIONS: Final = operator_pb2.AttentionKind.DESCRIPTOR
_PANEL: Final = "Which sagas"


def choice(enum: EnumDescriptor, help: str, *, panel: str | None = None) -> typer.models.OptionInfo:  # noqa: A002  (Typer's word)
    """An option that takes a word of an enumeration and gives its number; the shell completes it."""

    def parse(text: str) -> int:
        return number_of(enum, text)

    def complete(incomplete: str) -> list[str]:
        return [each for each in words(enum) if each.startswith(incomplete.lower())]

    text = f"{help} One of {', '.join(words(enum))}."
    option: typer.models.OptionInfo = typer.Option(
        parser=parse, metavar="WORD", help=text, autocompletion=complete, rich_help_panel=panel
    )
    return option


@dataclass(frozen=True, slots=True)
class Filters:
    """Those that are given must all match; without any it is every saga."""

    definition: Annotated[str | None, typer.Option(help="Name of the definition.", rich_help_panel=_PANEL)] = None
    version: Annotated[int | None, typer.Option(min=1, help="Version of the definition.", rich_help_panel=_PANEL)] = (
        None
    )
    state: Annotated[list[int], choice(STATES, "Any of these states.", panel=_PANEL)] = field(default_factory=list)
    attention: Annotated[list[int], choice(ATTENTIONS, "Any of these kinds of attention.", panel=_PANEL)] = field(
        default_factory=list
    )
    step: Annotated[
        str | None,
        typer.Option(
            help="The step that is blocked, waits, is stuck, or turned the saga around.", rich_help_panel=_PANEL
        ),
    ] = None
    participant: Annotated[
        str | None, typer.Option(help="The service that this step calls, its full name.", rich_help_panel=_PANEL)
    ] = None
    failure_reason: Annotated[
        str | None, typer.Option(help="Its failure's reason, such as CARD_DECLINED.", rich_help_panel=_PANEL)
    ] = None
    older_than: Annotated[
        timedelta | None,
        typer.Option(parser=parse_span, metavar="SPAN", help="Stored so long ago: 10m, 2h.", rich_help_panel=_PANEL),
    ] = None
    since: Annotated[
        datetime | None,
        typer.Option(parser=parse_time, metavar="TIME", help="Stored since, or 2h ago.", rich_help_panel=_PANEL),
    ] = None
    until: Annotated[
        datetime | None,
        typer.Option(parser=parse_time, metavar="TIME", help="Stored before, or 2h ago.", rich_help_panel=_PANEL),
    ] = None
    caller: Annotated[str | None, typer.Option(help="Who started it.", rich_help_panel=_PANEL)] = None
    tenant: Annotated[
        str | None, typer.Option(help="Whose it is; '' is the tenant without a name.", rich_help_panel=_PANEL)
    ] = None
    concurrency_key: Annotated[str | None, typer.Option(help="The concurrency key.", rich_help_panel=_PANEL)] = None
    start_request_id: Annotated[
        str | None, typer.Option(help="The id of the request that started it.", rich_help_panel=_PANEL)
    ] = None
    paused: Annotated[
        bool | None,
        typer.Option("--paused/--not-paused", help="Paused ones, or the others.", rich_help_panel=_PANEL),
    ] = None
    live: Annotated[bool, typer.Option("--live", help="Only those that have not ended.", rich_help_panel=_PANEL)] = (
        False
    )
    saga_id: Annotated[list[UUID], typer.Option(help="Only these sagas; may be repeated.", rich_help_panel=_PANEL)] = (
        field(default_factory=list)
    )

    def query(self) -> operator_pb2.SagaQuery:
        """The query that they make."""
        query = operator_pb2.SagaQuery(
            definition=self.definition or "",
            version=self.version or 0,
            states=[saga_pb2.SagaState.ValueType(number) for number in self.state],
            attention=[operator_pb2.AttentionKind.ValueType(number) for number in self.attention],
            step=self.step or "",
            participant=self.participant or "",
            reason=self.failure_reason or "",
            caller=self.caller or "",
            concurrency_key=self.concurrency_key or "",
            request_id=self.start_request_id or "",
            paused=self.paused,
            live=self.live,
            saga_ids=[str(each) for each in self.saga_id],
            tenant=self.tenant,
        )
        if self.older_than is not None:
            query.min_age.FromTimedelta(self.older_than)
        if self.since is not None:
            query.create_time_from.FromDatetime(self.since)
        if self.until is not None:
            query.create_time_to.FromDatetime(self.until)
        return query
