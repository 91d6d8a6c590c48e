"""What bounds the answer to "who is this?"."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Settings of :class:`orchestrator.rpc.access.access.Access`."""

    policy_file: Path
    reload_interval_s: float = 2.0
    """How often the policy and files of keys are looked at, and open streams judged anew."""
    token_leeway_s: float = 10.0
    """How far an issuer's clock may be off: a token counts for so long after its ``exp``, and before its ``nbf``."""
    jwks_refresh_interval_s: float = 300.0
    """How often keys are fetched from a URL."""
    jwks_refetch_interval_s: float = 10.0
    """An unknown key has them fetched at once, at most so often."""
    jwks_timeout_s: float = 5.0
    """How long a fetch of keys may take, all in all."""
    jwks_max_age_s: float = 86_400.0
    """How long the last good keys count while their source is away."""
    max_cached_tokens: int = 10_000
    """Tokens that need no second look at their signature."""
