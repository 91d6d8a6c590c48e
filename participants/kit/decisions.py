"""The barrier's rules as pure functions: what a row of the table and a call make of each other."""

from dataclasses import dataclass
from typing import TypeAlias

from contracts.errors import Reason
from participants.kit.table import BarrierState


@dataclass(frozen=True, slots=True)
class Row:
    """A locked barrier row."""

    state: BarrierState
    epoch: int
    request_hash: bytes | None
    response: bytes | None
    verdict: bytes | None


@dataclass(frozen=True, slots=True)
class Run:
    """The handler decides."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Success, with this serialized response."""

    response: bytes


@dataclass(frozen=True, slots=True)
class ReplayVerdict:
    """Rejection, with this stored ``google.rpc.Status``."""

    verdict: bytes


@dataclass(frozen=True, slots=True)
class Bury:
    """Success with an empty response: there is nothing to undo, and the row becomes a tombstone."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The barrier itself refuses, and the row stays as it is."""

    reason: Reason


ActionDecision: TypeAlias = Run | Replay | ReplayVerdict | Refuse
CompensationDecision: TypeAlias = Run | Replay | Bury | Refuse
SettleDecision: TypeAlias = Replay | Bury | Refuse


def judge_action(row: Row, epoch: int, request_hash: bytes) -> ActionDecision:
    """An action meets an existing row."""
    if epoch < row.epoch:
        return Refuse(Reason.STALE_EPOCH)
    match row.state:
        case BarrierState.TOMBSTONE | BarrierState.UNDONE:
            return Refuse(Reason.SUPERSEDED)
        case _ if row.request_hash != request_hash:
            return Refuse(Reason.KEY_REUSED)
        case BarrierState.DONE:
            return Replay(row.response or b"")
        case BarrierState.REJECTED:
            # A newer epoch is a claim or an operator's retry: the world may have changed, so the business decides.
            return ReplayVerdict(row.verdict or b"") if epoch == row.epoch else Run()


def judge_compensation(row: Row, epoch: int) -> CompensationDecision:
    """A compensation meets an existing row."""
    if epoch < row.epoch:
        return Refuse(Reason.STALE_EPOCH)
    match row.state:
        case BarrierState.DONE:
            return Run()
        case BarrierState.REJECTED:
            return Bury()
        case BarrierState.TOMBSTONE | BarrierState.UNDONE:
            return Replay(row.response or b"")


def judge_settle(row: Row, epoch: int) -> SettleDecision:
    """``Settle`` meets an existing row; the row's state afterwards is the answer."""
    if epoch < row.epoch:
        return Refuse(Reason.STALE_EPOCH)
    match row.state:
        case BarrierState.REJECTED:
            return Bury()
        case BarrierState.DONE | BarrierState.TOMBSTONE | BarrierState.UNDONE:
            return Replay(row.response or b"")
