"""Tokens of those who have signed in, kept here and never in the browser: bounded in number and in time."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from orchestrator.console.access.viewer import Viewer

_ID_BYTES: Final = 32


@dataclass(slots=True)
class Session:
    """``ends_at`` and ``used_at`` are in seconds of a clock that never jumps."""

    key: bytes
    token: str = field(repr=False)
    viewer: Viewer
    ends_at: float
    used_at: float


class Sessions:
    """Found by a secret of which only the hash is kept, so that memory that leaks opens no session."""

    def __init__(
        self,
        *,
        lifetime_s: float,
        idle_s: float,
        max_sessions: int,
        max_per_name: int,
        monotonic: Callable[[], float],
    ) -> None:
        """Beyond ``max_per_name`` sessions of one name its least recently used one ends, beyond ``max_sessions`` that
        of all: whoever signs in again and again ends first of all its own.
        """
        self._lifetime_s: Final = lifetime_s
        self._idle_s: Final = idle_s
        self._max_sessions: Final = max_sessions
        self._max_per_name: Final = max_per_name
        self._monotonic: Final = monotonic
        self._sessions: Final[OrderedDict[bytes, Session]] = OrderedDict()
        """The least recently used one first."""

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, token: str, viewer: Viewer, remaining_s: float) -> str:
        """A session under a new id of 256 random bits, which is returned. See :meth:`remember`."""
        session_id = secrets.token_urlsafe(_ID_BYTES)
        self.remember(session_id, token, viewer, remaining_s)
        return session_id

    def remember(self, secret: str, token: str, viewer: Viewer, remaining_s: float) -> Session:
        """A session that is found by ``secret``. It lasts no longer than the token: ``remaining_s`` more seconds."""
        now = self._monotonic()
        self._end_unused(now)
        own = [session.key for session in self._sessions.values() if session.viewer.name == viewer.name]
        for key in own[: max(0, len(own) + 1 - self._max_per_name)]:
            del self._sessions[key]
        while len(self._sessions) >= self._max_sessions:
            self._sessions.popitem(last=False)
        key = _key(secret)
        session = Session(key, token, viewer, now + min(self._lifetime_s, remaining_s), now)
        self._sessions[key] = session
        return session

    def find(self, secret: str, *, is_use: bool) -> Session | None:
        """The session, if it has not ended. ``is_use``: somebody did something, so it is not idle."""
        now = self._monotonic()
        self._end_unused(now)
        key = _key(secret)
        session = self._sessions.get(key)
        if session is None:
            return None
        if session.ends_at <= now:
            del self._sessions[key]
            return None
        if is_use:
            session.used_at = now
            self._sessions.move_to_end(key)
        return session

    def end(self, secret: str) -> None:
        """Forgets the session, if there is one."""
        self._sessions.pop(_key(secret), None)

    def _end_unused(self, now: float) -> None:
        while self._sessions and next(iter(self._sessions.values())).used_at + self._idle_s <= now:
            self._sessions.popitem(last=False)


def _key(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
