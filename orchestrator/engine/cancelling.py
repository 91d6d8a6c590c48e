"""Asking something of a saga, wherever it runs, and waiting for the answer."""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

from orchestrator.core.events import Failure, RequestConsumed
from orchestrator.core.state import TERMINAL
from orchestrator.engine.journal import decode
from orchestrator.engine.ports import RequestStore, SagaEnded
from orchestrator.engine.watches import Watches

ENDED: Final = Failure(0, "SAGA_STATE", "the saga ended before the request reached it")


async def cancel(
    store: RequestStore,
    watches: Watches,
    wake: Callable[[], None],
    saga_id: UUID,
    *,
    caller: str,
    request_id: str,
    timeout_s: float,
) -> Failure | None:
    """See :meth:`orchestrator.engine.api.SagaEngine.cancel`. ``wake`` hurries the owner if it is this node."""
    try:
        number = await store.add_request(saga_id, caller, request_id, "cancel")
    except SagaEnded:
        return ENDED
    wake()
    return await decided(store, watches, saga_id, number, timeout_s)


async def decided(
    store: RequestStore, watches: Watches, saga_id: UUID, number: int, timeout_s: float
) -> Failure | None:
    """Waits for the answer to a request: why it was refused, or None. Raises :class:`TimeoutError`."""
    watch = watches.open(saga_id)
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                # Looked at before the store is asked: what ended the saga may have consumed the request, too.
                interrupted, ended = watch.interrupted, watch.status in TERMINAL
                entry = await store.request_outcome(saga_id, number)
                if entry is not None:
                    event = decode((), entry.kind, entry.attributes)
                    assert isinstance(event, RequestConsumed), "request_outcome returns only such entries"
                    return event.refusal
                if interrupted:
                    raise TimeoutError
                if ended:
                    return ENDED
                await watch.changed.wait()
                watch.changed.clear()
    finally:
        watches.close(saga_id, watch)
