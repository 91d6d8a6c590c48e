"""Works bulk actions off: any node, a few members at a time, and again where a dead node stopped."""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from orchestrator.core.events import Failure
from orchestrator.core.inputs import OperatorAction
from orchestrator.definitions.errors import PayloadError
from orchestrator.engine.api import SagaEngine
from orchestrator.engine.ports import RequestReused, TooManyRequests
from orchestrator.operations.acting import Acting, Asked, DefinitionMissing, StepUnknown, answer_of
from orchestrator.operations.ports import OperatorStore
from orchestrator.operations.values import StoredBulk

log = structlog.get_logger(__name__)

TURN_S: Final = 0.5
"""How often a running bulk gets its turn."""
MAX_TAKEN: Final = 200
"""Members begun in one turn."""
CONCURRENCY: Final = 8


class BulkWork:
    """One node's part. ``run_once`` does what is due, and raises ``StoreUnavailable``."""

    def __init__(self, acting: Acting, engine: SagaEngine, store: OperatorStore) -> None:
        self._acting: Final = acting
        self._engine: Final = engine
        self._store: Final = store
        self._turns: Final = asyncio.Semaphore(CONCURRENCY)

    async def run_once(self) -> None:
        """One turn for every running bulk."""
        for bulk in await self._store.running_bulks():
            await self.work_off(bulk)
            if await self._store.finish_bulk(bulk.bulk_id):
                log.info("bulk_done", bulk_id=str(bulk.bulk_id), members=bulk.members)

    async def work_off(self, bulk: StoredBulk) -> None:
        """Notes what was decided and begins what is due: of a cancelled bulk, what a node that died had begun."""
        await self._collect(bulk.bulk_id)
        limit = min(MAX_TAKEN, max(1, round(bulk.rate_per_s * TURN_S)))
        members = await self._store.take_members(bulk.bulk_id, limit)
        await asyncio.gather(*(self._begin(bulk, saga_id) for saga_id in members))

    async def _collect(self, bulk_id: UUID) -> None:
        answers = await self._store.member_answers(bulk_id)
        if answers:
            await self._store.members_decided(bulk_id, [(saga_id, answer_of(entry)) for saga_id, entry in answers])

    async def _begin(self, bulk: StoredBulk, saga_id: UUID) -> None:
        """The request's id is a function of bulk and saga, so that a member that is begun twice is asked once."""
        async with self._turns:
            try:
                view = await self._engine.view(saga_id)
                asked = Asked(
                    saga_id,
                    OperatorAction(bulk.action.value),
                    bulk.caller,
                    f"bulk/{bulk.bulk_id}/{saga_id}",
                    bulk.reason,
                    0 if view is None else view.stored.last_seq,
                    bulk.step or None,
                    response_json=bulk.response_json or None,
                    bulk_id=bulk.bulk_id,
                )
                begun = await self._acting.begin(asked)
            except KeyError:
                refusal = Failure(0, "SAGA_NOT_FOUND", "the saga is gone")
            except DefinitionMissing as error:
                refusal = Failure(0, "DEFINITION_NOT_FOUND", f"{error} is not loaded by the node that tried")
            except (StepUnknown, PayloadError, RequestReused) as error:
                refusal = Failure(0, "INVALID_REQUEST", str(error))
            except TooManyRequests:
                refusal = Failure(0, "TOO_MANY_REQUESTS", "the saga takes no more requests")
            else:
                if begun.number is not None:
                    await self._store.member_asked(bulk.bulk_id, saga_id, begun.number)
                    return
                assert begun.refusal is not None, "what is not stored is refused"
                refusal = begun.refusal
        await self._store.members_decided(bulk.bulk_id, [(saga_id, refusal)])
