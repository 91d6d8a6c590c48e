"""Makes foreign text harmless for a terminal. Whatever people see goes through here, and only here.

Participants, callers and other operators write names, reasons and payloads. A terminal obeys escape sequences in them,
a carriage return overwrites a line, and a bidirectional override shows it backwards.
"""

import json
import unicodedata
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from saga.v1 import operator_pb2

MAX_CHARS: Final = 2_000
"""Of one text, in characters; more is cut off, and said so."""
MAX_PAYLOAD_CHARS: Final = 20_000
"""Of one payload that is laid out for reading."""
_MAX_MARKS: Final = 3
"""Combining marks on one character: more would be piled over the lines above."""

MessageT = TypeVar("MessageT", bound=Message)


def plain(text: str, max_chars: int = MAX_CHARS) -> str:
    r"""One line: everything that is not plainly visible is written as an escape such as ``\x1b`` or ``\u202e``."""
    cut = text[:max_chars]
    if not (cut.isascii() and cut.isprintable()):
        cut = _visible(cut)
    left_out = len(text) - max_chars
    return cut if left_out <= 0 else f"{cut}… ({left_out} more characters)"


def _visible(text: str) -> str:
    shown: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) or unicodedata.category(char) == "Me" else 0
        # Whatever Unicode calls other or separator, beside the space itself, is not printable.
        shown.append(char if char.isprintable() and marks <= _MAX_MARKS else _escape(char))
    return "".join(shown)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii") if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def laid_out(text: str) -> str:
    """A payload's JSON over several lines, each harmless; text that is no JSON is one line."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return plain(text, MAX_PAYLOAD_CHARS)
    lines = json.dumps(value, indent=2, ensure_ascii=False)[:MAX_PAYLOAD_CHARS].split("\n")
    return "\n".join(plain(line) for line in lines)


def harmless(message: MessageT) -> MessageT:
    """A copy whose every text is :func:`plain`, and whose payloads are :func:`laid_out`. Bytes are left as they are."""
    copy = type(message)()
    copy.CopyFrom(message)
    _clean(copy)
    return copy


def _clean(message: Message) -> None:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                value[:] = [plain(text) for text in value]
            else:
                setattr(message, field.name, plain(value))
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for part in value if field.is_repeated else (value,):
                _clean_part(part)


def _clean_part(part: Any) -> None:
    if isinstance(part, operator_pb2.Payload):
        json_text = laid_out(part.json)
        _clean(part)
        part.json = json_text
    else:
        _clean(part)
