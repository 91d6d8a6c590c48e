"""What the console may be told."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """``read_timeout_s`` and ``act_timeout_s`` are the deadlines of RPCs; a page looks again every ``refresh_s``.

    ``hosts`` are names, beside this machine's loopback, under which browsers may reach it; any other is refused, or a
    page of somebody else whose name is pointed here could act through a browser that stands inside.
    """

    read_timeout_s: float = 5.0
    act_timeout_s: float = 15.0
    refresh_s: float = 2.0
    page_size: int = 50
    max_form_bytes: int = 1 << 20
    max_url_bytes: int = 16 << 10
    hosts: frozenset[str] = field(default_factory=frozenset)
