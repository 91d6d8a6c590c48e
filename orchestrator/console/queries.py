"""A ``SagaQuery`` as fields of an address, both ways: every search can be kept, shared and repaired from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import operator_pb2 as op
from saga.v1 import saga_pb2

from orchestrator.console.forms import Fields
from orchestrator.console.problems import ApiError, Problem
from orchestrator.console.times import parse_span, parse_time

TEXTS: Final = {
    "definition": "definition",
    "step": "step",
    "participant": "participant",
    "reason": "reason code",
    "caller": "caller",
    "tenant": "tenant",
    "key": "concurrency key",
    "request": "request id",
}
"""Fields of the address that hold text, and what they are called."""
NAMES: Final = (*TEXTS, "version", "state", "attention", "age", "from", "to", "paused", "live", "id")
"""Every field of the address that belongs to a query."""


@dataclass(frozen=True, slots=True)
class Search:
    """A query, and the fields that it was read from."""

    query: op.SagaQuery
    fields: tuple[tuple[str, str], ...]

    @property
    def address(self) -> str:
        """The fields as the part of an address after the question mark."""
        return urlencode(self.fields)

    def one(self, name: str) -> str:
        """A field's value."""
        return next((value for key, value in self.fields if key == name), "")

    def many(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for key, value in self.fields if key == name]

    @property
    def words(self) -> list[str]:
        """The query in words, one part each."""
        named = {**TEXTS, "age": "at least this old", "from": "stored from", "to": "stored before", "id": "saga"}
        return [f"{named.get(name, name)}: {value}" for name, value in self.fields]


def read_search(fields: Fields) -> Search:
    """The query that the fields hold. Raises :class:`ApiError` naming the field that is wrong."""
    known = tuple((name, value) for name, value in fields if name in NAMES and value)
    only = Fields(known)
    query = op.SagaQuery(
        definition=only.one("definition"),
        step=only.one("step"),
        participant=only.one("participant"),
        reason=only.one("reason"),
        caller=only.one("caller"),
        concurrency_key=only.one("key"),
        request_id=only.one("request"),
        version=_number(only.one("version"), "version"),
        states=[_state(name) for name in only.many("state")],
        attention=[_attention(name) for name in only.many("attention")],
        live=only.one("live") == "yes",
        saga_ids=only.many("id"),
    )
    if tenant := only.one("tenant"):
        query.tenant = tenant
    if paused := only.one("paused"):
        query.paused = paused == "yes"
    if age := only.one("age"):
        length_s = parse_span(age)
        if length_s is None:
            raise _wrong("age", "write a length of time such as 90s, 15m, 2h or 1d")
        query.min_age.CopyFrom(Duration(seconds=int(length_s)))
    for name, target in (("from", query.create_time_from), ("to", query.create_time_to)):
        if text := only.one(name):
            at_s = parse_time(text)
            if at_s is None:
                raise _wrong(name, "write a time such as 2026-11-24T03:10 (UTC)")
            target.CopyFrom(Timestamp(seconds=int(at_s)))
    return Search(query, known)


def write_search(query: op.SagaQuery) -> Search:
    """The other way: the fields that give this query."""
    fields: list[tuple[str, str]] = [
        ("definition", query.definition),
        ("version", str(query.version) if query.version else ""),
        *(("state", _short(saga_pb2.SagaState.Name(state), "SAGA_STATE_")) for state in query.states),
        *(("attention", _short(op.AttentionKind.Name(kind), "ATTENTION_KIND_")) for kind in query.attention),
        ("step", query.step),
        ("participant", query.participant),
        ("reason", query.reason),
        ("caller", query.caller),
        ("tenant", query.tenant),
        ("key", query.concurrency_key),
        ("request", query.request_id),
        ("age", f"{query.min_age.seconds}s" if query.HasField("min_age") else ""),
        ("from", _time(query.create_time_from) if query.HasField("create_time_from") else ""),
        ("to", _time(query.create_time_to) if query.HasField("create_time_to") else ""),
        ("paused", ("yes" if query.paused else "no") if query.HasField("paused") else ""),
        ("live", "yes" if query.live else ""),
        *(("id", saga_id) for saga_id in query.saga_ids),
    ]
    return Search(query, tuple((name, value) for name, value in fields if value))


def group_address(group: op.AttentionGroup) -> str:
    """The address part that selects the sagas of an attention group."""
    query = op.SagaQuery(
        attention=[group.kind],
        definition=group.definition,
        version=group.version,
        step=group.step,
        reason=group.reason,
    )
    return write_search(query).address


def address(pairs: Iterable[tuple[str, str]]) -> str:
    """The part of an address after the question mark, without empty values."""
    return urlencode([(name, value) for name, value in pairs if value])


def _time(value: Timestamp) -> str:
    return value.ToDatetime().strftime("%Y-%m-%dT%H:%M:%S")


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)


def _state(name: str) -> saga_pb2.SagaState.ValueType:
    try:
        return saga_pb2.SagaState.Value(f"SAGA_STATE_{name}")
    except ValueError:
        raise _wrong("state", "choose one from the list") from None


def _attention(name: str) -> op.AttentionKind.ValueType:
    try:
        return op.AttentionKind.Value(f"ATTENTION_KIND_{name}")
    except ValueError:
        raise _wrong("attention", "choose one from the list") from None


def _number(text: str, name: str) -> int:
    if not text:
        return 0
    if len(text) > 10 or not text.isascii() or not text.isdigit() or int(text) >= 1 << 31:
        raise _wrong(name, "write a whole number")
    return int(text)


def _wrong(name: str, what: str) -> ApiError:
    return ApiError(Problem(400, f"The field “{name}” is not right.", f"Please {what}."))
