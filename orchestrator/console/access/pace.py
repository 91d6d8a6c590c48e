"""How often somebody may try to sign in, without remembering more than a bounded number of those who tried."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_V6_SITE: Final = 64
"""Who has one address of IPv6 has as many as these leading bits hold."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """``burst`` tries at once, then one every ``every_s`` seconds."""

    burst: int
    every_s: float


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float

    def wait_s(self, allowance: Allowance, now: float) -> float:
        self.left = min(allowance.burst, self.left + (now - self.at) / allowance.every_s)
        self.at = now
        return 0.0 if self.left >= 1 else (1 - self.left) * allowance.every_s


class Pace:
    """Tries of each client, and of all together."""

    def __init__(self, each: Allowance, together: Allowance, max_clients: int, monotonic: Callable[[], float]) -> None:
        self._each: Final = each
        self._together: Final = together
        self._max_clients: Final = max_clients
        self._monotonic: Final = monotonic
        self._all: Final = _Bucket(together.burst, monotonic())
        self._clients: Final[OrderedDict[str, _Bucket]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def wait_s(self, client: str) -> float:
        """0, and it counts as a try; or how many seconds ``client``, an address, has to wait for the next one."""
        now, name = self._monotonic(), _site(client)
        bucket = self._clients.setdefault(name, _Bucket(self._each.burst, now))
        self._clients.move_to_end(name)
        if len(self._clients) > self._max_clients:
            self._clients.popitem(last=False)
        wait_s = max(bucket.wait_s(self._each, now), self._all.wait_s(self._together, now))
        if wait_s:
            return wait_s
        bucket.left -= 1
        self._all.left -= 1
        return 0.0


def _site(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 6:
        return str(ipaddress.ip_network((address, _V6_SITE), strict=False))
    return str(address)
