"""Who comes in, and with which token: from the session of a cookie, or handed over by a proxy that is trusted."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from saga.v1 import operator_service_pb2 as pb
from starlette.requests import Request

from orchestrator.console.access import cookies
from orchestrator.console.access.pace import Allowance, Pace
from orchestrator.console.access.sessions import Sessions
from orchestrator.console.access.viewer import Viewer, viewer_of
from orchestrator.console.api import OperatorApi
from orchestrator.console.problems import Problem, TokenRefusedError
from orchestrator.console.settings import ConsoleSettings

MAX_TOKEN: Final = 8192
"""Characters; a node reads 16 KiB of metadata in all."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_SCHEME: Final = "bearer "

_EACH: Final = Allowance(burst=10, every_s=6.0)
_TOGETHER: Final = Allowance(burst=100, every_s=0.1)
_MAX_CLIENTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody whom the node knows, or knew lately."""

    token: str = field(repr=False)
    viewer: Viewer


class Entrance:
    """Holds all that the console remembers of people, in this process alone."""

    def __init__(self, settings: ConsoleSettings, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """``now`` is in seconds since 1970, ``monotonic`` in seconds of a clock that never jumps."""
        self._trusts_proxy: Final = settings.trust_proxy_token
        self._now: Final = now
        self._key: Final = secrets.token_bytes(32)
        self.pace: Final = Pace(_EACH, _TOGETHER, _MAX_CLIENTS, monotonic)
        self.sessions: Final = Sessions(
            lifetime_s=settings.session_s,
            idle_s=settings.idle_s,
            max_sessions=settings.max_sessions,
            max_per_name=settings.max_sessions_per_name,
            monotonic=monotonic,
        )
        # Found by the token itself: saves one question to the node for each page, and asks again soon enough.
        self._handed_over: Final = Sessions(
            lifetime_s=settings.proxy_token_s,
            idle_s=settings.proxy_token_s,
            max_sessions=settings.max_sessions,
            max_per_name=settings.max_sessions,
            monotonic=monotonic,
        )

    async def admit(self, request: Request, api: OperatorApi) -> Admitted | None:
        """Whoever sent the request, or None. Raises ``TokenRefusedError`` (a proxy's) and ``ApiError``."""
        if self.is_handed_over(request):
            return await self._admit_handed_over(request, api)
        session_id = cookies.session_id(request)
        # What an open page asks by itself is no use of it: a screen that was left alone signs out.
        session = self.sessions.find(session_id, is_use="hx-request" not in request.headers)
        if session is None:
            return None
        form_token = self._form_token(b"session", session.key)
        return Admitted(session.token, replace(session.viewer, form_token=form_token, has_session=True))

    async def sign_in(self, token: str, api: OperatorApi) -> tuple[str, Viewer]:
        """The id of a new session. Raises :class:`TokenRefusedError` and ``ApiError``."""
        viewer, remaining_s = await self._identify(token, api)
        return self.sessions.begin(token, viewer, remaining_s), viewer

    def forget(self, request: Request) -> None:
        """Ends the session that the request names, if any."""
        self.sessions.end(cookies.session_id(request))
        if self.is_handed_over(request):
            self._handed_over.end(request.headers["authorization"])

    def is_handed_over(self, request: Request) -> bool:
        """Whether a trusted proxy says who it is; the cookie counts for nothing then."""
        return self._trusts_proxy and "authorization" in request.headers

    async def _admit_handed_over(self, request: Request, api: OperatorApi) -> Admitted:
        header = request.headers["authorization"]
        session = self._handed_over.find(header, is_use=False)
        if session is None:
            token = bearer(header) if header[: len(_SCHEME)].lower() == _SCHEME else None
            if token is None:
                text = "The header “authorization” holds no bearer token."
                raise TokenRefusedError(Problem(401, "The proxy handed over no token.", text))
            viewer, remaining_s = await self._identify(token, api)
            session = self._handed_over.remember(header, token, viewer, remaining_s)
        # Of the name, not of the token: a proxy renews that while a form stands open.
        form_token = self._form_token(b"proxy", session.viewer.name.encode())
        return Admitted(session.token, replace(session.viewer, form_token=form_token))

    async def _identify(self, token: str, api: OperatorApi) -> tuple[Viewer, float]:
        asking = api.as_bearer(token)
        told = await asking.read(asking.stub.GetIdentity, pb.GetIdentityRequest())
        remaining_s = told.expire_time.ToNanoseconds() / 1e9 - self._now() if told.HasField("expire_time") else _ENDLESS
        if remaining_s <= 0:
            raise TokenRefusedError(Problem(401, "The token has expired.", "Get a new one."))
        return viewer_of(told), remaining_s

    def _form_token(self, kind: bytes, subject: bytes) -> str:
        return hmac.new(self._key, kind + b"\0" + subject, hashlib.sha256).hexdigest()


_ENDLESS: Final = float("inf")


def bearer(text: str) -> str | None:
    """The token, with or without the word before it; None if it cannot be one."""
    text = text.strip()
    if text[: len(_SCHEME)].lower() == _SCHEME:
        text = text[len(_SCHEME) :].strip()
    return text if len(text) <= MAX_TOKEN and _TOKEN.fullmatch(text) else None


def is_own_form(given: str, viewer: Viewer) -> bool:
    """Whether a form that held ``given`` was made for this viewer. Takes as long wherever they differ."""
    return bool(viewer.form_token) and hmac.compare_digest(given.encode(), viewer.form_token.encode())
