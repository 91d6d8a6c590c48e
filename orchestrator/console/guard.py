"""What stands before every page: which hosts it answers to, who may post, and what the browser may do with the page."""

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.console.settings import ConsoleSettings

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""No inline script or style, nothing from elsewhere: text that slipped through the escaping would still do nothing."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with it browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
SAFE: Final = frozenset({"GET", "HEAD"})


class Guard:
    """ASGI middleware. Refuses with 421 a host that is not ours, with 403 a post that another page sent."""

    def __init__(self, app: ASGIApp, settings: ConsoleSettings) -> None:
        self._app: Final = app
        self._hosts: Final = settings.hosts
        self._max_url_bytes: Final = settings.max_url_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_static = str(scope["path"]).startswith("/static/")

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers["Cache-Control"] = "max-age=3600" if is_static else "no-store"
            await send(message)

        refusal = self._refusal(scope)
        with suppress(Exception):  # logged, and answered with a page, by the application's own handler
            await (refusal or self._app)(scope, receive, guarded_send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            text = "This console does not answer to this host name; see ORCHESTRATOR_CONSOLE_HOSTS."
            return PlainTextResponse(text, 421)
        if len(scope["query_string"]) > self._max_url_bytes:
            return PlainTextResponse("The address is too long.", 414)
        if scope["method"] not in SAFE and not _is_own_page(headers, host):
            text = "Refused: this was not sent by a page of this console. Open the console itself, and do it there."
            return PlainTextResponse(text, 403)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # nobody can make a number point elsewhere


def _is_own_page(headers: Headers, host: str) -> bool:
    """By what browsers say of their own accord and pages cannot change; whoever says nothing is refused."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == host
