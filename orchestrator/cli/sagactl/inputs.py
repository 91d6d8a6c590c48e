"""What people hand in: text from a file or standard input, and JSON as the message that a definition takes."""

import sys
from pathlib import Path
from typing import Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from orchestrator.cli.sagactl.exits import CommandError, ExitCode

MAX_INPUT_CHARS: Final = 16 << 20
STDIN: Final = Path("-")


def read_text(file: Path) -> str:
    """The text of a file, or of standard input for ``-``. Raises :class:`CommandError`."""
    try:
        with sys.stdin if file == STDIN else file.open(encoding="utf-8") as source:
            text = source.read(MAX_INPUT_CHARS + 1)
    except OSError as error:
        raise CommandError(ExitCode.USAGE, f"the file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(ExitCode.USAGE, f"the file {file} is no UTF-8 text") from None
    if len(text) > MAX_INPUT_CHARS:
        raise CommandError(ExitCode.USAGE, f"the file {file} has more than {MAX_INPUT_CHARS:,} characters")
    return text


def to_message(text: str, descriptor: Descriptor) -> Message:
    """Protobuf JSON as a message; unknown fields are refused. Raises :class:`CommandError`."""
    message = GetMessageClass(descriptor)()
    try:
        parsed = Parse(text, message, max_recursion_depth=64)
    except (ParseError, RecursionError) as error:
        text = f"the input is no {descriptor.full_name}: {' '.join(str(error).split())}"
        raise CommandError(ExitCode.USAGE, text, 'write protobuf JSON, such as {"orderId": "ORD-1"}') from None
    return parsed
