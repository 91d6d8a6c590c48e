"""Identifiers that sort by time."""

from collections.abc import Callable
from uuid import UUID


def uuid7(unix_us: int, random_bytes: Callable[[int], bytes]) -> UUID:
    """A UUIDv7 (RFC 9562, section 5.7) of a time in microseconds; its 12 bits below the millisecond keep the order."""
    milliseconds, rest_us = divmod(unix_us, 1000)
    fraction = rest_us * 4096 // 1000
    low = int.from_bytes(random_bytes(8), "big") & ((1 << 62) - 1)
    return UUID(int=(milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | low)
