"""W3C Trace Context off the metadata of a call."""

import pytest

from contracts.traces.position import Position, parse, position_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("given", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what.comes.later", True),
    ],
)
def test_what_a_caller_says_is_understood(given: str, sampled: bool) -> None:
    assert parse(given) == Position(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nothing",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"cc-{TRACE}-{SPAN}-01.more",
    ],
)
def test_what_is_no_trace_context_is_as_if_nothing_was_said(given: str) -> None:
    assert parse(given) is None


def test_it_is_found_among_the_metadata() -> None:
    assert position_of(None) is None
    assert position_of([("saga-id", "x")]) is None
    assert position_of([("traceparent", b"binary")]) is None
    found = position_of([("saga-id", "x"), ("traceparent", f"00-{TRACE}-{SPAN}-01")])
    assert found == Position(TRACE, SPAN, sampled=True)
