"""Follows one saga for a caller: pages of its journal, as far as the engine says that it has grown."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final
from uuid import UUID

from saga.v1 import event_pb2

from orchestrator.core.state import TERMINAL
from orchestrator.engine.api import SagaEngine
from orchestrator.engine.ports import QueryStore
from orchestrator.rpc.error_mapping import engine_errors, outcome_pending, saga_not_found, watch_interrupted
from orchestrator.rpc.messages import event_message

_PAGE_SIZE: Final = 100


async def watch(
    engine: SagaEngine, queries: QueryStore, saga_id: UUID, after_seq: int, *, max_watch_s: float
) -> AsyncGenerator[event_pb2.SagaEvent, None]:
    """The saga's events after ``after_seq``, as they come; ends after the terminal one.

    Raises ``RpcError``: NOT_FOUND; UNAVAILABLE if the node or the store goes away; DEADLINE_EXCEEDED after
    ``max_watch_s`` seconds.
    """
    ends_at = asyncio.get_running_loop().time() + max_watch_s
    seq = after_seq
    with engine_errors(_resume(seq), saga_id):
        if not await queries.list_entries(saga_id, after_seq=0, limit=1):  # every saga has a first event
            raise saga_not_found(str(saga_id))
    # Closed with this generator, not when it is collected.
    async with aclosing(engine.follow(saga_id, after_seq)) as growth:
        while (last_seq := await _next(growth, ends_at, saga_id, seq)) is not None:
            while seq < last_seq:
                with engine_errors(_resume(seq), saga_id):
                    entries = await queries.list_entries(saga_id, after_seq=seq, limit=_PAGE_SIZE)
                if not entries:
                    break
                for entry in entries:
                    yield event_message(saga_id, entry)
                seq = entries[-1].seq
    with engine_errors(_resume(seq), saga_id):
        view = await engine.view(saga_id)
    if view is None or view.stored.row.status not in TERMINAL:  # the engine stops, and not the saga
        raise watch_interrupted(saga_id, _resume(seq))


async def _next(growth: AsyncGenerator[int, None], ends_at: float, saga_id: UUID, seq: int) -> int | None:
    with engine_errors(_resume(seq), saga_id):
        try:
            async with asyncio.timeout_at(ends_at):
                return await anext(growth, None)
        except TimeoutError:
            text = f"the stream has lasted as long as it may, and the saga goes on; {_resume(seq)}"
            raise outcome_pending(saga_id, text) from None


def _resume(seq: int) -> str:
    return f"call again with after_seq {seq}"
