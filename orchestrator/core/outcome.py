"""What the answer of an RPC means for a step: the table of outcomes.

Only the participant's barrier can prove that nothing happened; a status alone cannot. Codes are plain integers, as gRPC
numbers them, so that the core knows nothing of gRPC.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class Outcome(IntEnum):
    """What became of one attempt."""

    SUCCESS = 1
    """Took effect; the response is at hand."""
    REJECTED = 2
    """A business verdict. From a participant with a barrier it is proven: no effect, now or later. From one without, it
    is definite only if no attempt of the step had an unknown end; whoever counts the attempts decides that."""
    REFUSED = 3
    """The status of a verdict without its proof: no retry helps, and an earlier attempt may still land."""
    BUSY = 4
    """Not now: retry, honouring the delay if the answer names one."""
    UNKNOWN = 5
    """May have taken effect: retry under the same key, the stored response settles it."""
    MISCONFIGURED = 6
    """Never blamed on the saga: the step is blocked until somebody mends the participant or its address."""
    SUPERSEDED = 7
    """The barrier refused an action that came after its undo."""
    STALE_EPOCH = 8
    """The barrier has seen a newer epoch: ask the store whether the saga is still ours."""
    KEY_REUSED = 9
    """The barrier has seen another request under this key."""


RECLASSIFIABLE: Final = frozenset(
    {Outcome.REJECTED, Outcome.REFUSED, Outcome.BUSY, Outcome.UNKNOWN, Outcome.MISCONFIGURED}
)
"""What a definition may say that a code means. Success needs a response, and only the barrier speaks for itself."""

OK: Final = 0
MAX_CODE: Final = 16
"""The largest code that gRPC defines."""

_BARRIER_REASONS: Final[Mapping[str, Outcome]] = {
    "SUPERSEDED": Outcome.SUPERSEDED,
    "STALE_EPOCH": Outcome.STALE_EPOCH,
    "KEY_REUSED": Outcome.KEY_REUSED,
    # The metadata of the participant contract got lost on the way, in a proxy perhaps. The barrier did not run.
    "MISSING_METADATA": Outcome.MISCONFIGURED,
    # Turned away before the barrier, and every repetition would be as large.
    "MESSAGE_TOO_LARGE": Outcome.REFUSED,
}

_BY_CODE: Final[Mapping[int, Outcome]] = {
    # Verdicts: REJECTED is taken back to REFUSED below where its proof is missing.
    3: Outcome.REJECTED,  # INVALID_ARGUMENT
    5: Outcome.REJECTED,  # NOT_FOUND
    6: Outcome.REJECTED,  # ALREADY_EXISTS
    9: Outcome.REJECTED,  # FAILED_PRECONDITION
    11: Outcome.REJECTED,  # OUT_OF_RANGE
    8: Outcome.BUSY,  # RESOURCE_EXHAUSTED
    10: Outcome.BUSY,  # ABORTED
    7: Outcome.MISCONFIGURED,  # PERMISSION_DENIED
    12: Outcome.MISCONFIGURED,  # UNIMPLEMENTED
    16: Outcome.MISCONFIGURED,  # UNAUTHENTICATED
}


def classify(
    code: int,
    *,
    proven: bool,
    retry_delay: bool,
    barrier_reason: str | None,
    has_barrier: bool,
    reclassify: Mapping[int, Outcome],
) -> Outcome:
    """The meaning of an answer. The first rule that applies decides:

    1. ``code`` 0 is SUCCESS.
    2. The barrier's own refusals mean what they say, whatever their status, and are never a verdict.
    3. An answer with ``RetryInfo`` is BUSY: a participant that names a delay wants to be asked again.
    4. ``reclassify``, the step's own map of codes, then the table; every code in neither is UNKNOWN.
    5. What is REJECTED by rule 4 without proof, from a participant that keeps a barrier, is REFUSED. So a
       definition can never declare that nothing happened; it can only give up a proof, which is safe, because
       undoing what never happened leaves a tombstone.

    ``proven``: the trailers carry the mark of a stored verdict. ``retry_delay``: the status details hold ``RetryInfo``.
    ``barrier_reason``: the reason of an ``ErrorInfo`` with the saga domain, if there is one; one that is not the
    barrier's refusal (a validating interceptor's, say) is judged by its code, and without proof is no verdict even
    where no barrier is kept, for it did not come from business code. ``reclassify`` holds values of
    :data:`RECLASSIFIABLE` only.
    """
    if code == OK:
        return Outcome.SUCCESS
    if barrier_reason is not None and barrier_reason in _BARRIER_REASONS:
        return _BARRIER_REASONS[barrier_reason]
    if retry_delay:
        return Outcome.BUSY
    outcome = reclassify.get(code) or _BY_CODE.get(code, Outcome.UNKNOWN)
    assert outcome in RECLASSIFIABLE, f"code {code} cannot be reclassified as {outcome.name}"
    if outcome is Outcome.REJECTED and not proven and (has_barrier or barrier_reason is not None):
        return Outcome.REFUSED
    return outcome
