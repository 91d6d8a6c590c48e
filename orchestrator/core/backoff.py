"""How long to wait before the next attempt, and when to give up. Jitter comes from a hash: a replay draws the same."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from orchestrator.core.definition import RetryPolicy

US: Final = 1_000_000
MAX_RETRY_AFTER_US: Final = 3600 * US
"""A participant may not ask for a longer wait than an hour."""


@dataclass(frozen=True, slots=True)
class CorePolicy:
    """Bounds that hold for every saga of a node."""

    blocked_retry_s: float = 15.0
    """How often a blocked step tries again."""
    max_stale_claims: int = 5
    """Claims without progress after which a saga is stuck: it may be killing its nodes."""
    max_saga_bytes: int = 4 << 20
    """Of a saga's input and journal, with the responses in it. What does not fit is not kept, and not tried again."""
    is_full: bool = False
    """The saga has reached that: no further attempt is made after one that failed. Set for each saga by its owner."""


def jitter(saga_id: str, step: str, attempt: int) -> float:
    """A number in [0, 1) that depends on its arguments alone."""
    digest = blake2b(f"{saga_id}/{step}/{attempt}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / (1 << 56)


def backoff_us(policy: RetryPolicy, saga_id: str, step: str, *, attempt: int, counted_attempts: int) -> int:
    """Full jitter below an exponential bound (Brooker, Exponential Backoff and Jitter, 2015). ``attempt`` is from 1.

    Only counted attempts raise the bound: a participant that asks to be polled keeps its pace however often it does.
    """
    # The exponent is bounded, as a float overflows past 1024 doublings and the bound is long reached.
    doublings = min(max(counted_attempts - 1, 0), 64)
    bound = min(policy.max_backoff_s, policy.initial_backoff_s * policy.multiplier**doublings)
    return int(bound * jitter(saga_id, step, attempt) * US)


def is_spent(policy: RetryPolicy, counted_attempts: int, budget_from_us: int, now_us: int) -> bool:
    """Whether no further attempt is allowed."""
    return counted_attempts >= policy.max_attempts or now_us - budget_from_us >= policy.budget_s * US
