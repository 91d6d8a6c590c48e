"""The one cookie of the console: the id of a session."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

SECURE_NAME: Final = "__Host-session"
"""Browsers take a cookie of this name over TLS alone, for this host alone, so that no neighbour can plant one."""
PLAIN_NAME: Final = "session"
"""Without TLS, which is on loopback."""
MAX_ID: Final = 64


def session_id(request: Request) -> str:
    """The id that the browser sent, or nothing."""
    text = request.cookies.get(_name(request), "")
    return text if len(text) <= MAX_ID else ""


def is_sent(request: Request) -> bool:
    """Whether the browser sent one, whatever it holds."""
    return _name(request) in request.cookies


def give(response: Response, request: Request, session_id: str) -> None:
    """Hands the id out. It goes when the browser does; how long the session lasts at most, the server knows."""
    _set(response, request, session_id, None)


def take_back(response: Response, request: Request) -> None:
    """Has the browser forget the id."""
    _set(response, request, "", 0)


def _set(response: Response, request: Request, value: str, max_age_s: int | None) -> None:
    response.set_cookie(
        _name(request),
        value,
        max_age=max_age_s,
        path="/",
        secure=_is_tls(request),
        httponly=True,
        samesite="strict",
    )


def _name(request: Request) -> str:
    return SECURE_NAME if _is_tls(request) else PLAIN_NAME


def _is_tls(request: Request) -> bool:
    return request.url.scheme == "https"
