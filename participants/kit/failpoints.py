"""A participant's failpoints: wrappers around the barrier and its transactions, put in only where a test arms them."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import Message
from saga.v1 import participant_service_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import Reason, RpcError
from contracts.failpoints import FailpointError, Failpoints
from contracts.metadata import PHASE_ACTION, PHASE_COMPENSATION, PHASE_SETTLE
from contracts.method import Method
from participants.kit.barrier import Barrier, Handler
from participants.kit.call import StepContext
from participants.kit.transactions import Session, Transactions

T = TypeVar("T")

_phase: ContextVar[str] = ContextVar("failpoint_phase", default="")


class _FailingSession:
    """A session with points around its COMMIT."""

    def __init__(self, session: Session, failpoints: Failpoints) -> None:
        self._session = session
        self._failpoints = failpoints

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def commit(self, *statements: str) -> None:
        """See :meth:`Session.commit`."""
        await _reach(self._failpoints, "committing")
        await self._session.commit(*statements)
        await _reach(self._failpoints, "committed")


class _FailingTransactions:
    """Transactions with a point before each, whose sessions have points too."""

    def __init__(self, transactions: Transactions, failpoints: Failpoints) -> None:
        self._transactions = transactions
        self._failpoints = failpoints

    async def run(self, body: Callable[[Session], Awaitable[T]]) -> T:
        """See :meth:`Transactions.run`."""
        await _reach(self._failpoints, "begin")
        return await self._transactions.run(
            lambda session: body(cast("Session", _FailingSession(session, self._failpoints)))
        )


class FailingBarrier(Barrier):
    """A barrier with points. An armed error is UNAVAILABLE, wherever it comes: after a COMMIT the work was done."""

    def __init__(self, transactions: Transactions, failpoints: Failpoints) -> None:
        super().__init__(cast("Transactions", _FailingTransactions(transactions, failpoints)))
        self._failpoints = failpoints

    async def act(self, method: Method[Any, Any], handler: Handler, request: Message, step: StepContext) -> bytes:
        """See :meth:`Barrier.act`."""
        return await self._around(PHASE_ACTION, lambda: Barrier.act(self, method, self._after(handler), request, step))

    async def compensate(
        self, method: Method[Any, Any], handler: Handler, request: Message, step: StepContext
    ) -> bytes:
        """See :meth:`Barrier.compensate`."""
        return await self._around(
            PHASE_COMPENSATION, lambda: Barrier.compensate(self, method, self._after(handler), request, step)
        )

    async def settle(self, step: StepContext) -> participant_service_pb2.SettleResponse:
        """See :meth:`Barrier.settle`."""
        return await self._around(PHASE_SETTLE, lambda: Barrier.settle(self, step))

    async def _around(self, phase: str, call: Callable[[], Awaitable[T]]) -> T:
        _phase.set(phase)
        await _reach(self._failpoints, "received")
        answer = await call()
        await _reach(self._failpoints, "answering")
        return answer

    def _after(self, handler: Handler) -> Handler:
        async def handled(request: Any, step: StepContext, db: AsyncConnection) -> Message:
            response = await handler(request, step, db)
            await _reach(self._failpoints, "handled")
            return response

        return handled


async def _reach(failpoints: Failpoints, moment: str) -> None:
    phase = _phase.get()
    if not phase:
        return  # no step's call: a command or a query
    try:
        await failpoints.reach(f"{phase}.{moment}")
    except FailpointError as error:
        raise RpcError(grpc.StatusCode.UNAVAILABLE, Reason.INTERNAL, str(error)) from error
