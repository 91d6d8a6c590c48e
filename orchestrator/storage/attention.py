"""Which sagas an operator should see: the one definition, used by lists, counts, overview, metrics and alerts."""

from typing import Final

ATTENTION: Final = """
    CASE
        WHEN s.state = 6 THEN 1
        WHEN s.ended_at IS NOT NULL OR s.paused_at IS NOT NULL THEN 0
        WHEN s.blocked_at <= statement_timestamp() - make_interval(secs => {blocked_s}) THEN 2
        WHEN s.owner IS NULL AND s.wake_at <= statement_timestamp() - make_interval(secs => {blocked_s})
            AND s.definition_id <> ALL (
                ARRAY (SELECT unnest(definition_ids) FROM node WHERE lease_expires_at > statement_timestamp())
            ) THEN 2
        WHEN s.deadline_at <= statement_timestamp() THEN 3
        WHEN s.blocked_at IS NULL
            AND greatest(s.updated_at, s.wake_at) <= statement_timestamp() - make_interval(secs => {silent_s}) THEN 4
        ELSE 0
    END
"""
"""The number of a ``saga.v1.AttentionKind``, of ``saga s``. ``blocked_s`` and ``silent_s`` are those of an
``AttentionPolicy``, as parameters of the statement.

A paused saga needs none, as an operator has seen it. What is blocked retries without writing, so that its silence says
nothing. An unowned saga is explained until it is due; one that is due is claimed, unless no node has its definition."""

STEP: Final = "coalesce(s.waiting_step, s.failed_step)"
"""The step that is blocked, waits after a failure, is stuck, or turned the saga around."""
REASON: Final = "coalesce(s.waiting_reason, s.failure_reason)"
"""Why."""


def attention(blocked_s: str, silent_s: str) -> str:
    """The expression, given the placeholders of its two parameters."""
    return ATTENTION.format(blocked_s=blocked_s, silent_s=silent_s)
