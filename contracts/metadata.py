"""Metadata keys of the participant contract: what each call carries, and what an answer proves."""

import re
from typing import Final

SAGA_ID: Final = "saga-id"
SAGA_STEP: Final = "saga-step"
IDEMPOTENCY_KEY: Final = "saga-idempotency-key"
EPOCH: Final = "saga-epoch"
ATTEMPT: Final = "saga-attempt"
TRACEPARENT: Final = "traceparent"

VERDICT: Final = "saga-verdict"
"""Trailer of a rejection: its presence with the value :data:`VERDICT_STORED` is the barrier's proof of no effect."""
VERDICT_STORED: Final = "stored"

ERROR_DOMAIN: Final = "saga.v1"
"""``ErrorInfo.domain`` of the orchestrator's and the barrier's own errors. A participant's own errors use another."""

REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}", re.ASCII)
"""What ``google.rpc.ErrorInfo`` demands of a reason. Another text may say anything, and reasons are logged."""

PHASE_ACTION: Final = "action"
PHASE_COMPENSATION: Final = "compensation"
PHASE_SETTLE: Final = "settle"


def idempotency_key(saga_id: str, step: str, phase: str) -> str:
    """``saga_id/step/phase``: names an effect at a participant, the same for every attempt."""
    return f"{saga_id}/{step}/{phase}"
