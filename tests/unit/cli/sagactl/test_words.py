"""Values as people read and write them."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import operator_pb2, saga_pb2
from typer import BadParameter

from orchestrator.cli.sagactl.layouts.overview import ASCII_BARS, BARS, spark
from orchestrator.cli.sagactl.words import age, ago, clock, number_of, parse_span, parse_time, span, word, words

STATES = saga_pb2.SagaState.DESCRIPTOR
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_enumerations_have_words_both_ways() -> None:
    assert word(STATES, saga_pb2.SAGA_STATE_STUCK) == "STUCK"
    assert word(STATES, 0) == ""
    assert word(STATES, 99) == "99"
    for text in words(operator_pb2.OperatorAction.DESCRIPTOR):
        assert number_of(operator_pb2.OperatorAction.DESCRIPTOR, text)
    assert number_of(STATES, "Stuck") == saga_pb2.SAGA_STATE_STUCK
    for wrong in ("", "unspecified", "SAGA_STATE_STUCK", "lost"):
        with pytest.raises(BadParameter):
            number_of(STATES, wrong)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.012, "12ms"), (3.14, "3.1s"), (42, "42s"), (59.7, "1m"), (3600, "1h"), (11_520, "3h12m"), (446_400, "5d4h")],
)
def test_spans_have_at_most_two_units(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


def test_spans_and_times_are_read() -> None:
    assert parse_span("1h30m") == timedelta(minutes=90)
    assert parse_time("2026-05-01T08:30:00Z") == datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
    assert parse_time("2026-05-01T08:30:00") == datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
    before = datetime.now(UTC)
    assert before <= parse_time("2h") + timedelta(hours=2) <= datetime.now(UTC)
    for wrong in ("", "10", "m", "10 m", "-5m", "9999999d", "5mx"):
        with pytest.raises(BadParameter):
            parse_span(wrong)
    with pytest.raises(BadParameter):
        parse_time("yesterday")


def test_times_are_shown_even_if_they_are_absurd() -> None:
    moment = Timestamp()
    moment.FromDatetime(NOW - timedelta(minutes=12))
    assert (clock(moment), age(moment, NOW)) == ("2026-05-01 11:48:00Z", "12m")
    moment.FromDatetime(NOW + timedelta(seconds=30))
    assert age(moment, NOW) == ago(moment, NOW) == "in 30s"
    assert ago(moment, NOW + timedelta(minutes=1)) == "30s ago"
    assert clock(Timestamp()) == age(Timestamp(), NOW) == ""
    assert clock(Timestamp(seconds=1 << 60)) == age(Timestamp(seconds=-(1 << 60)), NOW) == ""


def test_plots_reach_the_top_and_show_the_smallest() -> None:
    assert spark([0, 1, 100], BARS) == " ▁█"
    assert spark([0, 0], BARS) == "  "
    assert spark([], BARS) == ""
    assert spark([0, 1, 100], ASCII_BARS) == " .#"
