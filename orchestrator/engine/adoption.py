"""Takes sagas that the store holds for this node into memory, or hands back those that this program cannot run."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final
from uuid import UUID

import structlog

from orchestrator.core.backoff import US, CorePolicy
from orchestrator.core.inputs import Resumed
from orchestrator.core.state import SagaStatus
from orchestrator.definitions.errors import PayloadError
from orchestrator.definitions.registry import Registry
from orchestrator.engine.clock import DatabaseClock
from orchestrator.engine.dispatch import Dispatcher
from orchestrator.engine.journal import JournalError
from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import NodeFenced, Store, StoreUnavailable
from orchestrator.engine.resume import give_up, history, release, resume_run, tags_of
from orchestrator.engine.stored import Batch, Checkpoint, StoredSaga

log = structlog.get_logger(__name__)

MAX_DEFECTS: Final = 3
"""Defects of the program that one saga may meet on a node before it is stuck."""
LONGEST_RELEASE_US: Final = 600 * US
"""A saga that this program cannot read is looked at again after this long at the latest: a newer one may have come."""
MAX_REMEMBERED: Final = 10_000
"""Unreadable sagas whose releases are counted."""
RETRY_S: Final = 0.2


class Adoption:
    """One node's way of taking over. ``fenced`` and ``orphaned`` tell the engine what a write of its own found out."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        dispatcher: Dispatcher,
        clock: DatabaseClock,
        policy: CorePolicy,
        *,
        spawn: Callable[[Coroutine[None, None, None]], None],
        fenced: Callable[[UUID], None],
        orphaned: Callable[[], None],
        observer: Observer,
    ) -> None:
        self._store = store
        self._registry = registry
        self._dispatcher = dispatcher
        self._clock = clock
        self._policy = policy
        self._spawn = spawn
        self._fenced = fenced
        self._orphaned = orphaned
        self._observer = observer
        self._unreadable: dict[UUID, int] = {}

    def adopt(self, stored: StoredSaga, node_id: UUID) -> None:
        """Goes on with a saga of the node; one that cannot be run costs no other saga anything."""
        definition = self._registry.find_digest(stored.digest)
        if definition is None:
            log.warning("definition_missing", **tags_of(stored), definition=stored.definition, version=stored.version)
            self._hand_back(stored, node_id)
            return
        if self._dispatcher.defects.get(stored.saga_id, 0) >= MAX_DEFECTS:
            message = "advancing the saga fails again and again; the node's log has the traceback"
            self._give_up(stored, "ENGINE_DEFECT", message, node_id)
            return
        try:
            run = resume_run(definition, stored, self._dispatcher, self._policy)
        except JournalError as error:
            # A newer program wrote it: leave the saga to a node that can read it.
            log.warning("journal_unreadable", **tags_of(stored), error=str(error))
            self._hand_back(stored, node_id)
        except PayloadError as error:
            log.warning("input_unreadable", **tags_of(stored), error=str(error))
            self._give_up(stored, "INPUT_UNREADABLE", str(error), node_id)
        except Exception:
            log.exception("resume_defect", **tags_of(stored))
            self._dispatcher.count_defect(stored.saga_id)
        else:
            log.debug("saga_resumed", **run.tags(), node=str(node_id), epoch=stored.epoch, seq=stored.last_seq)
            self._unreadable.pop(stored.saga_id, None)
            crashed = run.state.stale_claims > 0
            if run.trace.sampled:
                self._observer.recalled(run, history(stored, run.names))
            self._dispatcher.add(run)
            self._dispatcher.feed(run, Resumed())
            self._observer.saga_resumed(run, crashed=crashed)

    def _hand_back(self, stored: StoredSaga, node_id: UUID) -> None:
        """Each time for longer: every claim is an entry of the journal."""
        times = self._unreadable.get(stored.saga_id, 0)
        if len(self._unreadable) < MAX_REMEMBERED or times:
            self._unreadable[stored.saga_id] = times + 1
        delay_us = min(int(self._policy.blocked_retry_s * US) << min(times, 16), LONGEST_RELEASE_US)
        self._spawn(self._release(release(stored, self._clock.now_us() + delay_us), node_id))

    async def _release(self, checkpoint: Checkpoint, node_id: UUID) -> None:
        await self._write_alone(checkpoint, node_id)

    def _give_up(self, stored: StoredSaga, reason: str, message: str, node_id: UUID) -> None:
        self._spawn(self._stop(stored, reason, message, node_id))

    async def _stop(self, stored: StoredSaga, reason: str, message: str, node_id: UUID) -> None:
        """Makes a saga stuck that cannot be advanced, with an answer to whatever is asked of it."""
        try:
            waiting = await self._store.pending_requests(node_id)
        except StoreUnavailable:
            await asyncio.sleep(RETRY_S)
            self._orphaned()
            return
        requests = [request for request in waiting if request.saga_id == stored.saga_id]
        now_us = self._clock.now_us()
        checkpoint = give_up(stored, reason, message, now_us, requests)
        if await self._write_alone(checkpoint, node_id) and stored.row.status is not SagaStatus.STUCK:
            self._observer.saga_given_up(stored, reason, now_us)

    async def _write_alone(self, checkpoint: Checkpoint, node_id: UUID) -> bool:
        """For a saga that is not in memory; whether it was written. If not, the saga is found again among those that
        the node owns.
        """
        try:
            if await self._store.commit(node_id, Batch(checkpoints=(checkpoint,))):
                self._dispatcher.forget(checkpoint.saga_id)
                return True
        except NodeFenced:
            self._fenced(node_id)
        except StoreUnavailable as error:
            log.warning("release_postponed", saga_id=str(checkpoint.saga_id), error=str(error))
            await asyncio.sleep(RETRY_S)
            self._orphaned()
        return False
