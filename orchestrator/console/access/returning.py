"""Where somebody is led after the sign-in: to a page of this console, never elsewhere."""

from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request

SIGN_IN: Final = "/sign-in"
SIGN_OUT: Final = "/sign-out"
MAX_PATH: Final = 4096
_FIRST: Final = "/"


def own_path(text: str) -> str:
    """The path and query that ``text`` holds if that leads to a page of this console; else the first page's."""
    # Browsers drop tabs and line ends, and take a backslash for a slash: "/\t/evil.example" is another host to them.
    if len(text) > MAX_PATH or not text.isascii() or any(each <= " " or each in "\\\x7f" for each in text):
        return _FIRST
    if not text.startswith("/") or text.startswith("//"):
        return _FIRST
    path = urlsplit(text).path
    return _FIRST if path in {SIGN_IN, SIGN_OUT} else text


def sign_in_address(request: Request, why: str) -> str:
    """The sign-in page that leads back to what was asked for. What was posted is gone: back to the page of the form."""
    if request.method == "GET":
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    else:
        sent_by = urlsplit(request.headers.get("referer", ""))
        is_own = sent_by.netloc == request.headers.get("host", "")
        wanted = (sent_by.path + (f"?{sent_by.query}" if sent_by.query else "")) if is_own else _FIRST
    then = own_path(wanted)
    fields = [("next", then if then != _FIRST else ""), ("why", why)]
    query = urlencode([(name, value) for name, value in fields if value])
    return f"{SIGN_IN}?{query}" if query else SIGN_IN
