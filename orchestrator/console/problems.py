"""What an error of the API means to whoever sits before the page, and what to do."""

from dataclasses import dataclass
from typing import Final

import grpc

from contracts.errors import Reason, error_info
from orchestrator.console.text import shown


@dataclass(frozen=True, slots=True)
class Problem:
    """``remedy`` says what to do; ``told`` is what the API said itself; ``status`` is HTTP's."""

    status: int
    title: str
    remedy: str
    told: str = ""
    reason: str = ""


class ApiError(Exception):
    """A call of the API did not go through."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.title} {problem.told}")
        self.problem = problem


class TokenRefusedError(Exception):
    """The node does not accept who the caller says it is; no page has an answer to that but the sign-in."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


class ForbiddenError(Exception):
    """The node knows the caller, and does not let it call ``method``."""

    def __init__(self, problem: Problem, method: str) -> None:
        super().__init__(problem.title)
        self.problem = problem
        self.method = method


_WORDS: Final[dict[str, tuple[int, str, str]]] = {
    Reason.VERSION_CHANGED: (
        409,
        "Someone was faster.",
        "The saga moved since this page was drawn, and nothing was done. Look again, then decide anew.",
    ),
    Reason.OUTCOME_PENDING: (
        504,
        "It is stored, and not decided yet.",
        "Press the button once more: the same request asks only once, and is answered when it is decided.",
    ),
    Reason.SAGA_STATE: (409, "The saga's state does not allow this.", "Nothing was done. See what else is offered."),
    Reason.PAST_PIVOT: (
        409,
        "The saga is past its point of no return.",
        "Nothing was done: it can only go forward. Retry or skip the step, or resolve the saga by hand.",
    ),
    Reason.SAGA_NOT_FOUND: (404, "There is no such saga.", "Check the id, or search for it by its request."),
    Reason.STEP_NOT_FOUND: (404, "There is no such step to act on.", "Look at the saga again: it may have moved on."),
    Reason.BULK_NOT_FOUND: (404, "There is no such bulk repair.", "Choose one from the list."),
    Reason.BULK_STATE: (409, "The bulk repair has ended already.", "Nothing is left to cancel."),
    Reason.PARTICIPANT_NOT_FOUND: (404, "No definition calls such a participant.", "Choose one from the list."),
    Reason.NODE_NOT_FOUND: (404, "No node of this id holds a lease.", "It may have ended; look at the list again."),
    Reason.REQUEST_ID_REUSED: (
        409,
        "This form was sent before with something else in it.",
        "The first one counts. Open the page anew to ask for something else.",
    ),
    Reason.INVALID_REQUEST: (400, "The API refuses what was entered.", "Correct it and send it again."),
    Reason.PAGE_TOKEN: (400, "This page of the list has expired.", "Begin again with the first page."),
    Reason.TOO_MANY_REQUESTS: (429, "The saga has taken as many requests as it may.", "Repeat an earlier one."),
    Reason.RATE_LIMITED: (429, "You ask for more than your share.", "Wait a moment, then try again."),
    Reason.TOO_MANY_CALLS: (429, "You have too much under way at once.", "Wait a moment, then try again."),
    Reason.OVER_CAPACITY: (503, "The node is as busy as it may be.", "Wait a moment, then try again."),
    Reason.STORE_UNAVAILABLE: (
        503,
        "The node does not reach its database.",
        "Try again in a moment. If it lasts, look after PostgreSQL first: nothing else can be repaired meanwhile.",
    ),
    Reason.KEYS_UNAVAILABLE: (
        503,
        "The node cannot check tokens now.",
        "It has no keys of their issuer that still count. Try again in a moment; if it lasts, look after the issuer.",
    ),
    Reason.NODE_DRAINING: (503, "This node is shutting down.", "Use the console of another node."),
}
_BY_CODE: Final = {
    grpc.StatusCode.UNAVAILABLE: (
        503,
        "The node does not answer.",
        "Try again; if it lasts, use another node's console.",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (504, "The node took too long to answer.", "Try again in a moment."),
    grpc.StatusCode.UNIMPLEMENTED: (501, "This node cannot do that.", "It may be of an older version: update it."),
    grpc.StatusCode.PERMISSION_DENIED: (403, "You may not do that.", "Ask someone who may."),
    grpc.StatusCode.UNAUTHENTICATED: (401, "The node does not know who you are.", "Sign in again."),
    grpc.StatusCode.INVALID_ARGUMENT: (400, "The API refuses what was entered.", "Correct it and send it again."),
    grpc.StatusCode.NOT_FOUND: (404, "There is no such thing.", "Look at the list again."),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (503, "It is too much for the node.", "Ask for less, or try again later."),
}
_ELSE: Final = (502, "The node failed to answer.", "It is a defect: the node's log has the details.")


def problem_of(error: grpc.aio.AioRpcError) -> Problem:
    """The error in words."""
    info = error_info(tuple(error.trailing_metadata() or ()))
    reason = info.reason if info is not None else ""
    status, title, remedy = _WORDS.get(reason) or _BY_CODE.get(error.code(), _ELSE)
    return Problem(
        status,
        title,
        remedy,
        shown((error.details() or "").replace("\n", " "), 600),
        shown(reason or error.code().name, 80),
    )
