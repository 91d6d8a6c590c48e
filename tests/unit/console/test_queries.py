"""A search is its address, both ways."""

from urllib.parse import parse_qsl

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from saga.v1 import operator_pb2 as op
from saga.v1 import saga_pb2

from orchestrator.console.forms import Fields
from orchestrator.console.problems import ApiError
from orchestrator.console.queries import read_search, write_search

NAME = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), max_size=20)
SOMETIME = st.none() | st.integers(1, 4_000_000_000).map(lambda at_s: Timestamp(seconds=at_s))


@given(
    st.builds(
        op.SagaQuery,
        definition=NAME,
        version=st.integers(0, (1 << 31) - 1),
        states=st.lists(st.sampled_from(list(saga_pb2.SagaState.values())[1:]), max_size=3),
        attention=st.lists(st.sampled_from(list(op.AttentionKind.values())[1:]), max_size=3),
        step=NAME,
        participant=NAME,
        reason=NAME,
        min_age=st.none() | st.integers(0, 10**6).map(lambda length_s: Duration(seconds=length_s)),
        caller=NAME,
        create_time_from=SOMETIME,
        create_time_to=SOMETIME,
        concurrency_key=NAME,
        request_id=NAME,
        paused=st.none() | st.booleans(),
        live=st.booleans(),
        saga_ids=st.lists(st.uuids().map(str), max_size=2),
    )
)
def test_an_address_gives_the_query_that_it_was_made_of(query: op.SagaQuery) -> None:
    fields = Fields(parse_qsl(write_search(query).address, keep_blank_values=True))
    expected = op.SagaQuery.FromString(query.SerializeToString())
    for name in ("definition", "step", "participant", "reason", "caller", "concurrency_key", "request_id"):
        setattr(expected, name, getattr(expected, name).strip())
    assert read_search(fields).query == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("version", "x"), ("version", "9" * 5000), ("state", "LOST"), ("attention", "X"), ("age", "long"), ("from", "x")],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(ApiError, match=name):
        read_search(Fields([(name, value)]))


def test_other_fields_are_left_alone() -> None:
    assert read_search(Fields([("page", "x"), ("do", "act"), ("step", "")])).fields == ()
