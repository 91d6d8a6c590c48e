"""What it takes to do something, in words for whoever may not. The node decides; a test holds this to its table."""

from collections.abc import Mapping
from typing import Final

from saga.v1 import operator_pb2 as op

ACTIONS: Final[Mapping[int, str]] = {
    op.OPERATOR_ACTION_RETRY: "RetryNow",
    op.OPERATOR_ACTION_RETRY_COMPENSATION: "RetryCompensation",
    op.OPERATOR_ACTION_SKIP_STEP: "SkipStep",
    op.OPERATOR_ACTION_FORCE_COMPENSATION: "ForceCompensation",
    op.OPERATOR_ACTION_RESOLVE: "ResolveSaga",
    op.OPERATOR_ACTION_PAUSE: "PauseSaga",
    op.OPERATOR_ACTION_RESUME: "ResumeSaga",
}
"""The method behind each action on one saga."""

_LOOK: Final = (
    "SearchSagas",
    "CountSagas",
    "GetSagaDetails",
    "ExplainSaga",
    "GetOverview",
    "GetBulk",
    "WatchBulk",
    "ListBulks",
    "ListBulkMembers",
    "ListAudit",
    "ListParticipants",
    "ListNodes",
    "ListDefinitions",
)
ROLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(_LOOK, "reader"),
    **dict.fromkeys((*ACTIONS.values(), "StartBulk", "CancelBulk"), "operator"),
    **dict.fromkeys(("HoldParticipant", "ReleaseParticipant", "DrainNode"), "admin"),
}
"""The least role that may call a method of the operators' service."""
