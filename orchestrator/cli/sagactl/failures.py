"""What an RPC's error means to an operator: the exit code, what happened, and what to do."""

import re
from typing import Any, Final

import grpc

from contracts.errors import Reason, error_info
from orchestrator.cli.sagactl.exits import CommandError, ExitCode

_Code = grpc.StatusCode
_EXITS: Final = {
    _Code.INVALID_ARGUMENT: ExitCode.USAGE,
    _Code.OUT_OF_RANGE: ExitCode.USAGE,
    _Code.NOT_FOUND: ExitCode.NOT_FOUND,
    _Code.FAILED_PRECONDITION: ExitCode.REFUSED,
    _Code.ALREADY_EXISTS: ExitCode.REFUSED,
    _Code.ABORTED: ExitCode.LOST_RACE,
    _Code.UNAVAILABLE: ExitCode.NO_ANSWER,
    _Code.DEADLINE_EXCEEDED: ExitCode.NO_ANSWER,
    _Code.CANCELLED: ExitCode.NO_ANSWER,
    _Code.UNAUTHENTICATED: ExitCode.DENIED,
    _Code.PERMISSION_DENIED: ExitCode.DENIED,
    _Code.RESOURCE_EXHAUSTED: ExitCode.BUSY,
}
_ADVICE: Final[dict[str, str]] = {
    Reason.VERSION_CHANGED: "`sagactl explain` shows it as it is now",
    Reason.SAGA_STATE: "`sagactl explain` lists what can be done",
    Reason.PAST_PIVOT: "`sagactl explain` lists what can be done",
    Reason.SAGA_NOT_FOUND: "`sagactl list` shows the newest",
    Reason.STEP_NOT_FOUND: "`sagactl get` lists the saga's steps",
    Reason.DEFINITION_NOT_FOUND: "`sagactl definitions` lists what the nodes have loaded",
    Reason.BULK_NOT_FOUND: "`sagactl bulk list` shows the newest",
    Reason.PARTICIPANT_NOT_FOUND: "`sagactl participants` lists their full names",
    Reason.NODE_NOT_FOUND: "`sagactl nodes` lists those that hold a lease",
    Reason.REQUEST_ID_REUSED: "leave --request-id out, or repeat exactly what was asked for under it",
    Reason.STORE_UNAVAILABLE: "the node does not reach its database, or lost its lease: try again, or another node",
    Reason.NODE_DRAINING: "give another node with --address",
    Reason.OVER_CAPACITY: "try again in a moment, or another node",
    Reason.TOO_MANY_REQUESTS: "repeat an earlier request under its --request-id",
    Reason.OUTCOME_PENDING: "it was asked for, and is not decided yet: repeat with the same --request-id",
    Reason.INTERNAL: "the node's log has the details",
}
_CLOSED: Final = "try again; a node with TLS needs --ca-file, and perhaps --cert-file"
_TRANSPORT: Final = (
    ("connection refused", "nothing listens there (connection refused)", "start the node, or correct --address"),
    ("no such file", "there is no such socket", "start the node, or correct --address"),
    ("dns|name or service not known|nodename nor|domain name", "the host is not known", "correct --address"),
    ("certificate|ssl|tls|handshake|hostname verification", "TLS was not agreed on", "check the node and --ca-file"),
    (
        "socket closed|connection reset|broken pipe|goaway",
        "it closed the connection",
        _CLOSED,
    ),
    ("timed? ?out|unreachable|no route", "it is not reached in time", "check the network and --address"),
)
"""How the library words what went wrong, in words, and what to do."""


def explain(error: grpc.RpcError, address: str) -> CommandError:
    """The error of a call, for the one who made it."""
    call: Any = error  # the library's errors are calls too; its types do not say so
    code: grpc.StatusCode = call.code()
    info = error_info(tuple((each.key, each.value) for each in call.trailing_metadata() or ()))
    if info is None:
        return _bare(code, call.details() or "", address)
    exit_code = _EXITS.get(code, ExitCode.DEFECT)
    advice = _ADVICE.get(info.reason, "")
    return CommandError(exit_code, call.details() or "", advice, status=code.name, reason=info.reason)


def _bare(code: grpc.StatusCode, details: str, address: str) -> CommandError:
    """An error that no server of ours sent: the library's own, or a proxy's."""
    exit_code = _EXITS.get(code, ExitCode.DEFECT)
    if code is _Code.UNAVAILABLE:
        for pattern, what, advice in _TRANSPORT:
            if re.search(pattern, details, re.IGNORECASE):
                return CommandError(exit_code, f"no answer from {address}: {what}", advice, status=code.name)
        return CommandError(exit_code, f"no answer from {address}: {details}", "try again", status=code.name)
    if code is _Code.DEADLINE_EXCEEDED:
        advice = "try again, or give it longer with --timeout-s"
        return CommandError(exit_code, f"no answer from {address} in time", advice, status=code.name)
    if code is _Code.UNIMPLEMENTED:
        text = f"the node at {address} does not serve this call: {details}"
        return CommandError(exit_code, text, "it is older than this command, or no saga orchestrator", status=code.name)
    return CommandError(exit_code, f"{address} answers {code.name}: {details}", status=code.name)
