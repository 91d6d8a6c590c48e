"""Selections of sagas as SQL: which rows, and by which way to them so that no list reads more than it must."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID

from orchestrator.core.state import TERMINAL, SagaStatus
from orchestrator.operations.values import AttentionKind, AttentionPolicy, Selection
from orchestrator.storage.attention import REASON, STEP, attention
from orchestrator.storage.visibility import tenants_of

UUID7_SLACK_US: Final = 15_000_000
"""A saga's id is drawn, by the node's estimate of the database's time, at most so long before the saga is stored."""
UNDONE: Final = frozenset({SagaStatus.COMPENSATED, SagaStatus.RESOLVED})


class Way(Enum):
    """How the rows are reached."""

    NAMED = auto()
    """saga_pkey, by ids."""
    REQUEST = auto()
    """saga_caller_request_id_key, skipping from caller to caller."""
    STUCK = auto()
    """saga_stuck: as many as are stuck."""
    LIVE = auto()
    """saga_live: as many as are live, which sagas in memory and those that wait bound."""
    UNDONE = auto()
    """saga_undone: newest first."""
    ALL = auto()
    """saga_pkey: newest first, and no further than a bound."""


ENTRANCE: Final = {Way.STUCK: "s.state = 6", Way.LIVE: "s.ended_at IS NULL"}
"""What the predicate of the way's index demands, in its own words, so that the planner sees it."""


def way_to(where: Selection) -> Way:
    """The way that reads least."""
    states = frozenset(where.states)
    if where.saga_ids:
        return Way.NAMED
    if where.request_id is not None:
        return Way.REQUEST
    if states == {SagaStatus.STUCK} or set(where.attention) == {AttentionKind.STUCK}:
        return Way.STUCK
    if where.live or where.attention or where.paused or (states and TERMINAL.isdisjoint(states)):
        return Way.LIVE
    if len(states) == 1 and states <= UNDONE:
        return Way.UNDONE
    return Way.ALL


@dataclass(slots=True)
class Conditions:
    """A WHERE clause on ``saga s JOIN definition d``, and its arguments."""

    arguments: list[Any] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def parameter(self, value: Any) -> str:
        """The placeholder of an argument."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def add(self, text: str, value: Any) -> None:
        """A condition on one argument, unless that is None. ``{}`` in the text stands for it."""
        if value is not None:
            self.texts.append(text.format(self.parameter(value)))

    def add_range(self, where: Selection, before: UUID | None) -> None:
        """Where a walk from the newest on begins and ends: a saga's id, a UUIDv7, tells about when it was stored."""
        self.add("s.saga_id < {}", before)
        if where.created_from_us is not None:
            self.add("s.saga_id >= {}::uuid", first_id(where.created_from_us - UUID7_SLACK_US))
        if where.created_to_us is not None:
            self.add("s.saga_id < {}::uuid", first_id(where.created_to_us + UUID7_SLACK_US))

    @property
    def text(self) -> str:
        """The whole clause."""
        return " AND ".join(self.texts) or "true"


def conditions(where: Selection, policy: AttentionPolicy, before: UUID | None = None) -> tuple[Conditions, str]:
    """The clause of a selection, and the expression of attention with its parameters bound."""
    found = Conditions()
    kind = attention(found.parameter(policy.blocked_s), found.parameter(policy.silent_s))
    found.add_range(where, before)
    found.add("s.tenant = ANY ({}::text[])", tenants_of(where.visibility))
    found.add("s.caller = {}", where.visibility.caller)
    found.add("s.saga_id = ANY ({}::uuid[])", where.saga_ids or None)
    found.add("d.name = {}", where.definition)
    found.add("d.version = {}", where.version)
    found.add("s.state = ANY ({}::smallint[])", [int(state) for state in where.states] or None)
    found.add(STEP + " = {}", where.step)
    found.add(REASON + " = {}", where.reason)
    found.add("s.caller = {}", where.caller)
    found.add("s.request_id = {}", where.request_id)
    found.add("s.concurrency_key = {}", where.concurrency_key)
    found.add("(s.paused_at IS NOT NULL) = {}", where.paused)
    found.add("s.created_at <= statement_timestamp() - make_interval(secs => {})", where.min_age_s)
    found.add("s.created_at >= {}", where.created_from_us)
    found.add("s.created_at < {}", where.created_to_us)
    if (entrance := ENTRANCE.get(way_to(where))) is not None:
        found.texts.append(entrance)
    if where.live:
        found.texts.append("s.ended_at IS NULL")
    if where.steps_of_participant is not None:
        names = found.parameter([each.definition for each in where.steps_of_participant])
        versions = found.parameter([each.version for each in where.steps_of_participant])
        steps = found.parameter([each.step for each in where.steps_of_participant])
        wanted = f"SELECT * FROM unnest({names}::text[], {versions}::integer[], {steps}::text[])"  # noqa: S608  (placeholders)
        found.texts.append(f"(d.name, d.version, {STEP}) IN ({wanted})")
    return found, kind


def first_id(at_us: int) -> UUID:
    """The smallest UUIDv7 of that moment."""
    ms = min(max(at_us // 1000, 0), (1 << 48) - 1)
    return UUID(int=ms << 80)
