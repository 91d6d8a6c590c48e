"""Text of others is harmless to look at."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.console.text import MAX_MARKS, shown
from orchestrator.console.times import moment_at, parse_span, parse_time, span


@given(st.text(alphabet=st.characters(), max_size=400))
def test_nothing_hidden_is_left(text: str) -> None:
    result = shown(text, 200)
    assert not [each for each in result if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("a\u202egpj.exe", "a⟨U+202E⟩gpj.exe"),
        ("a\x00b\x7f", "a⟨U+0000⟩b⟨U+007F⟩"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        ("\ud800", "⟨U+D800⟩"),
        ("é<b>", "é<b>"),
        ("two\nlines", "two⟨U+000A⟩lines"),
    ],
)
def test_hidden_characters_show(text: str, result: str) -> None:
    assert shown(text) == result


def test_lines_are_kept_where_they_are_wanted() -> None:
    assert shown("{\n\t1\r}", lines=True) == "{\n\t1⟨U+000D⟩}"


def test_long_text_is_cut_and_says_so() -> None:
    assert shown("x" * 1_300, 300) == "x" * 300 + "… [1,000 more characters]"


def test_marks_do_not_pile_up() -> None:
    assert shown("z" + "\u0321" * 100 + "a") == "z" + "\u0321" * MAX_MARKS + "a"


@pytest.mark.parametrize(
    ("length_s", "text"),
    [
        (0, "0 ms"),
        (0.24, "240 ms"),
        (3.21, "3.2 s"),
        (9.97, "10 s"),
        (75, "1 m 15 s"),
        (7_200, "2 h"),
        (183_600, "2 d 3 h"),
    ],
)
def test_spans(length_s: float, text: str) -> None:
    assert span(length_s) == text


@pytest.mark.parametrize(
    ("text", "length_s"),
    [("90", 90), ("15m", 900), ("2 h", 7200), ("1d", 86400), ("x", None), ("-1", None), ("nan", None)],
)
def test_spans_are_read(text: str, length_s: float | None) -> None:
    assert parse_span(text) == length_s


def test_times_are_utc() -> None:
    at_s = parse_time("2026-11-24T03:10")
    assert at_s is not None
    assert moment_at(at_s, at_s + 90).clock == "2026-11-24 03:10:00 UTC"
    assert moment_at(at_s, at_s + 90).ago == "1 m 30 s ago"
    assert moment_at(at_s, at_s - 90).ago == "in 1 m 30 s"
    assert parse_time("2026-11-24T03:10+02:00") == at_s - 7200
    assert parse_time("yesterday") is None
