"""Foreign text cannot move the cursor, hide, reverse or flood what people read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb

from orchestrator.cli.sagactl.harmless import MAX_CHARS, MAX_PAYLOAD_CHARS, harmless, laid_out, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, élan, 東京, 🙂", "plain words, élan, 東京, 🙂"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("paid\rfree\n\tnext", r"paid\rfree\n\tnext"),
        ("a\u202eb\u2066c\u200f", r"a\u202eb\u2066c\u200f"),
        ("a\u200bb\ufeff\xa0", r"a\u200bb\ufeff\xa0"),
        ("\u2028\U000e0041", r"\u2028\U000e0041"),
        ("a" + "\u0301" * 5, "a" + "\u0301" * 3 + r"\u0301\u0301"),
        ("[red]markup[/red] :smile:", "[red]markup[/red] :smile:"),
    ],
)
def test_what_is_not_plainly_visible_is_written_as_an_escape(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_whatever_comes_is_one_printable_line(text: str) -> None:
    assert plain(text).isprintable()
    assert all(line.isprintable() for line in laid_out(text).split("\n"))


def test_a_huge_text_is_cut_off_and_says_so() -> None:
    shown = plain("x" * 5_000_000)
    assert len(shown) < MAX_CHARS + 50
    assert shown.endswith("… (4,998,000 more characters)".replace(",", ""))


def test_every_text_of_a_message_is_reached_and_the_message_itself_is_left_alone() -> None:
    response = pb.ExplainSagaResponse()
    response.saga.failure.message = "\x1b[31m"
    response.saga.steps.add(name="charge\r", after=["a\x07"])
    response.explanation.causes.append("\u202e")
    response.explanation.options.add(step="\x1b").plan.calls.add(method="\x00")
    copy = harmless(response)
    told = str(copy)
    assert "\\\\x1b[31m" in told
    assert copy.saga.steps[0].name == r"charge\r"
    assert copy.saga.steps[0].after == [r"a\x07"]
    assert copy.explanation.causes == [r"\u202e"]
    assert copy.explanation.options[0].plan.calls[0].method == r"\x00"
    assert response.saga.failure.message == "\x1b[31m"


def test_a_payload_is_laid_out_over_lines_and_stays_harmless() -> None:
    details = op.SagaDetails()
    details.input.json = json.dumps({"name": "\x1b[31m\u202e\n", "lines": [1, 2]})
    shown = harmless(details).input.json
    assert shown.split("\n")[1] == r'  "name": "\u001b[31m\u202e\n",'
    assert shown.replace("\n", "").isprintable()


def test_a_payload_that_is_no_json_or_huge_or_deep_is_harmless_too() -> None:
    assert laid_out('{"a": \x1b[0m') == r'{"a": \x1b[0m'
    assert len(laid_out(json.dumps(["x" * 50] * 100_000))) < 3 * MAX_PAYLOAD_CHARS
    assert len(laid_out("[" * 100_000)) < MAX_PAYLOAD_CHARS + 50
