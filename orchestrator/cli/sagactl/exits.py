"""How the command ends: what each exit code means, and the error that ends it with one line."""

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """Stable: scripts rely on them."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    LOST_RACE = 4
    NO_ANSWER = 5
    DENIED = 6
    BUSY = 7
    DEFECT = 8
    NOT_CONFIRMED = 9
    ENDED_OTHERWISE = 10
    INTERRUPTED = 130


MEANINGS: Final = {
    ExitCode.OK: "done",
    ExitCode.REFUSED: "refused by a rule; nothing was done (of a bulk: some members were refused, or it was cancelled)",
    ExitCode.USAGE: "wrong usage: an option, the input, a file",
    ExitCode.NOT_FOUND: "there is no such saga, step, bulk, participant, node or definition",
    ExitCode.LOST_RACE: "the saga moved since the version that was seen; look again",
    ExitCode.NO_ANSWER: "no answer in time: it may have been done; repeat with the same --request-id",
    ExitCode.DENIED: "the node does not let you",
    ExitCode.BUSY: "the node has as much to do as it may; try again later",
    ExitCode.DEFECT: "a defect, or a node that is older than this command",
    ExitCode.NOT_CONFIRMED: "you did not confirm; nothing was done",
    ExitCode.ENDED_OTHERWISE: "start --wait, watch: the saga ended, and not COMPLETED, or is STUCK",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}


class CommandError(Exception):
    """Ends the command with ``exit_code``. ``text`` says what happened, ``advice`` what to do; both may be hostile."""

    def __init__(self, exit_code: ExitCode, text: str, advice: str = "", *, status: str = "", reason: str = "") -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.text = text
        self.advice = advice
        self.status = status
        """The gRPC status, such as ``ABORTED``; empty where none came."""
        self.reason = reason
        """The reason of the error's ``ErrorInfo``."""
