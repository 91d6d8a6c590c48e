"""Forms as browsers send them, bounded; and lists of fields, whichever way they came."""

from collections.abc import Iterable, Iterator
from typing import Final, cast
from urllib.parse import parse_qsl

from starlette.requests import Request

from orchestrator.console.problems import ApiError, Problem

MAX_FIELDS: Final = 200
FORM_TYPE: Final = "application/x-www-form-urlencoded"


class Fields:
    """What an address or a form holds, in order. Values are stripped of blanks around them."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs: Final = [(name, value.strip()) for name, value in pairs]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def one(self, name: str, default: str = "") -> str:
        """The first value that is not empty."""
        return next((value for key, value in self._pairs if key == name and value), default)

    def many(self, name: str) -> list[str]:
        """Every value that is not empty."""
        return [value for key, value in self._pairs if key == name and value]


def address_fields(request: Request) -> Fields:
    """The fields of the address."""
    return Fields(request.query_params.multi_items())


def form_fields(request: Request) -> Fields:
    """The fields of the form that was posted, which the gate has read."""
    return cast("Fields", request.state.fields)


async def read_form(request: Request, max_bytes: int) -> Fields:
    """The fields of a posted form. Raises :class:`ApiError` if it is none, or larger than ``max_bytes``."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise ApiError(Problem(415, "This is not a form.", "Use the page's own buttons."))
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise ApiError(Problem(413, "The form is too large.", f"It may have {max_bytes:,} bytes; enter less."))
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise ApiError(Problem(400, "The form cannot be read.", "Open the page anew and send it again.")) from None
    return Fields(pairs)
