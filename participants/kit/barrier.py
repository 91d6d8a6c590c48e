"""The barrier: carries out :mod:`participants.kit.decisions` in the transaction in which the handler works.

The row is inserted or locked first, outside the savepoint in which the handler runs; effect, row and response commit
together. Round trips of a first action beside the handler's own statements: two.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import asyncpg
import grpc
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from saga.v1 import participant_service_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import Reason, RpcError, from_status, to_status
from contracts.metadata import REASON, VERDICT, VERDICT_STORED
from contracts.method import Method
from contracts.sensitivity import scrub
from participants.kit import store
from participants.kit.call import StepContext
from participants.kit.correlation import outcome
from participants.kit.decisions import (
    Bury,
    Refuse,
    Replay,
    ReplayVerdict,
    judge_action,
    judge_compensation,
    judge_settle,
)
from participants.kit.table import BarrierState
from participants.kit.transactions import Session, Transactions
from participants.kit.verdicts import Busy, Rejected

Handler: TypeAlias = Callable[[Any, StepContext, AsyncConnection], Awaitable[Message]]

_PROOF: Final = ((VERDICT, VERDICT_STORED),)
"""Trailer of a stored verdict: proves that the action took no effect."""

_NOTHING_TO_UNDO: Final = b""
"""Every response message serialized with nothing set."""

_REFUSALS: Final = {
    Reason.STALE_EPOCH: (
        grpc.StatusCode.ABORTED,
        "the barrier has seen a newer epoch of this saga: it has another owner",
    ),
    Reason.SUPERSEDED: (
        grpc.StatusCode.FAILED_PRECONDITION,
        "the action was undone or settled before it arrived, and will never take effect",
    ),
    Reason.KEY_REUSED: (
        grpc.StatusCode.FAILED_PRECONDITION,
        "another request came under this idempotency key before; a step must ask for the same in every attempt",
    ),
}


def domain_of(method: Method[Any, Any]) -> str:
    """The error domain of a service: its package, such as ``inventory.v1``."""
    return method.service.rpartition(".")[0]


def _refusal(reason: Reason) -> RpcError:
    outcome(reason.lower())
    code, text = _REFUSALS[reason]
    return RpcError(code, reason, text)


async def _conclude(session: Session, step: StepContext, row_epoch: int) -> None:
    """Ends a transaction that only read its row, raising the row's epoch if the call brought a newer one."""
    if step.epoch > row_epoch:
        await session.commit(store.raise_epoch(step))
    else:
        await session.rollback()


class Barrier:
    """The barrier of one database."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def act(self, method: Method[Any, Any], handler: Handler, request: Message, step: StepContext) -> bytes:
        """Runs or replays an action; returns the serialized response. Raises :class:`RpcError`."""
        content = request.SerializeToString(deterministic=True)
        request_hash = hashlib.sha256(method.full_name.encode() + b"\0" + content).digest()

        async def body(session: Session) -> bytes:
            try:
                await session.script(store.begin_action(step))
            except asyncpg.UniqueViolationError:
                await session.script(store.ROLLBACK, store.BEGIN)
                replayed = await _replay_action(session, step, request_hash)
                if replayed is not None:
                    return replayed
                await session.script(store.SAVEPOINT)
            try:
                response = await handler(request, step, session.db)
            except Rejected as rejected:
                verdict = _told(rejected.to_error(domain_of(method), trailers=_PROOF), request)
                stored = store.set_rejected(step, request_hash, to_status(verdict).SerializeToString())
                await session.commit(store.UNDO_BUSINESS, stored)
                outcome("rejected")
                raise verdict from rejected
            except Busy as busy:
                outcome("busy")
                raise _told(busy.to_error(domain_of(method)), request) from busy
            answer = _serialize(method, response)
            await session.commit(store.set_done(step, request_hash, answer))
            outcome("ran")
            return answer

        return await self._transactions.run(body)

    async def compensate(
        self, method: Method[Any, Any], handler: Handler, request: Message, step: StepContext
    ) -> bytes:
        """Undoes, replays, or leaves a tombstone; returns the serialized response. Raises :class:`RpcError`."""

        async def body(session: Session) -> bytes:
            await session.script(store.BEGIN)
            row = await store.insert_or_lock(session.raw, step)
            if row is None:
                await session.commit()
                outcome("nothing_to_undo")
                return _NOTHING_TO_UNDO
            match judge_compensation(row, step.epoch):
                case Refuse(reason):
                    raise _refusal(reason)
                case Replay(response):
                    await _conclude(session, step, row.epoch)
                    outcome("replayed")
                    return response
                case Bury():
                    await session.commit(store.set_tombstone(step))
                    outcome("nothing_to_undo")
                    return _NOTHING_TO_UNDO
            try:
                response = _serialize(method, await handler(request, step, session.db))
            except (Rejected, Busy) as refused:  # stores nothing: whether it can be undone is judged anew next time
                outcome("undo_refused" if isinstance(refused, Rejected) else "busy")
                raise _told(refused.to_error(domain_of(method)), request) from refused
            await session.commit(store.set_undone(step, response))
            outcome("undone")
            return response

        return await self._transactions.run(body)

    async def settle(self, step: StepContext) -> participant_service_pb2.SettleResponse:
        """Decides the step's action for good. Raises :class:`RpcError`."""

        async def body(session: Session) -> participant_service_pb2.SettleResponse:
            await session.script(store.BEGIN)
            row = await store.insert_or_lock(session.raw, step)
            if row is None:
                await session.commit()
                outcome("settled_tombstone")
                return _settled(BarrierState.TOMBSTONE, b"")
            match judge_settle(row, step.epoch):
                case Refuse(reason):
                    raise _refusal(reason)
                case Bury():
                    await session.commit(store.set_tombstone(step))
                    outcome("settled_tombstone")
                    return _settled(BarrierState.TOMBSTONE, b"")
                case Replay(response):
                    await _conclude(session, step, row.epoch)
                    outcome(f"settled_{row.state.name.lower()}")
                    return _settled(row.state, response if row.state is BarrierState.DONE else b"")

        return await self._transactions.run(body)

    async def command(self, method: Method[Any, Any], handler: Handler, request: Message) -> bytes:
        """Runs a handler that is no saga's step, in a transaction. Raises :class:`RpcError`."""
        return await self._plain(method, handler, request, store.BEGIN)

    async def query(self, method: Method[Any, Any], handler: Handler, request: Message) -> bytes:
        """Runs a handler that only reads, on one snapshot. Raises :class:`RpcError`."""
        return await self._plain(method, handler, request, store.BEGIN_REPORT)

    async def _plain(self, method: Method[Any, Any], handler: Any, request: Message, begin: str) -> bytes:
        async def body(session: Session) -> bytes:
            await session.script(begin)
            try:
                response = _serialize(method, await handler(request, session.db))
            except (Rejected, Busy) as refused:
                raise _told(refused.to_error(domain_of(method)), request) from refused
            await session.commit()
            return response

        return await self._transactions.run(body)


async def _replay_action(session: Session, step: StepContext, request_hash: bytes) -> bytes | None:
    """Locks the row that stands in the way. Returns the stored response, or None if the handler is to decide."""
    row = await store.insert_or_lock(session.raw, step)
    if row is None:
        return None
    match judge_action(row, step.epoch, request_hash):
        case Refuse(reason):
            raise _refusal(reason)
        case Replay(response):
            await _conclude(session, step, row.epoch)
            outcome("replayed")
            return response
        case ReplayVerdict(verdict):
            outcome("verdict_replayed")
            raise from_status(Status.FromString(verdict), trailers=_PROOF)
    return None


def _serialize(method: Method[Any, Any], response: Message) -> bytes:
    if not isinstance(response, method.response):
        raise TypeError(f"the handler of {method.full_name} returned {type(response).__name__}")
    return bytes(response.SerializeToString(deterministic=True))


def _told(error: RpcError, request: Message) -> RpcError:
    """What a handler says of a request, without what its contract calls personal or secret: it is stored and shown.

    A reason that is no UPPER_SNAKE word gives way to the name of the code, because it is logged.
    """
    if not REASON.fullmatch(error.reason):
        error.reason = error.code.name
    error.message = scrub(error.message, request)
    error.metadata = {key: scrub(value, request) for key, value in error.metadata.items()}
    return error


def _settled(state: BarrierState, response: bytes) -> participant_service_pb2.SettleResponse:
    name = f"SETTLE_STATE_{state.name}"
    return participant_service_pb2.SettleResponse(
        state=participant_service_pb2.SettleState.Value(name), response=response
    )
