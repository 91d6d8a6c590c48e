"""What the console may be told."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """``read_timeout_s`` and ``act_timeout_s`` are the deadlines of RPCs; a page looks again every ``refresh_s``.

    ``hosts`` are names, beside this machine's loopback, under which browsers may reach it; any other is refused, or a
    page of somebody else whose name is pointed here could act through a browser that stands inside.

    ``sign_in``: the node asks who its callers are, so the console asks its viewers for a token. A session ends after
    ``session_s``, after ``idle_s`` without use, and with its token. ``trust_proxy_token``: an authenticating proxy
    stands in front, and hands the viewer's token over in the header ``authorization``; the node is asked anew about
    such a token every ``proxy_token_s``.
    """

    read_timeout_s: float = 5.0
    act_timeout_s: float = 15.0
    refresh_s: float = 2.0
    page_size: int = 50
    max_form_bytes: int = 1 << 20
    max_url_bytes: int = 16 << 10
    hosts: frozenset[str] = field(default_factory=frozenset)
    sign_in: bool = False
    session_s: float = 8 * 3600.0
    idle_s: float = 1800.0
    max_sessions: int = 1000
    max_sessions_per_name: int = 10
    trust_proxy_token: bool = False
    proxy_token_s: float = 60.0
