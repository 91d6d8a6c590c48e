"""Group commit: the checkpoints of many sagas in one statement. One batch is in flight while the next one fills."""

import asyncio
from collections.abc import Callable, Mapping
from uuid import UUID

import structlog

from orchestrator.engine.observing import Observer
from orchestrator.engine.ports import JournalStore, NodeFenced, StoreUnavailable
from orchestrator.engine.run import SagaRun
from orchestrator.engine.stored import Batch, Checkpoint, NewSaga, Position

log = structlog.get_logger(__name__)

FIRST_RETRY_S = 0.05
LAST_RETRY_S = 2.0


class GroupWriter:
    """Writes what is dirty. ``written`` and ``refused`` are told of each saga's fate, ``fenced`` of the node's.

    ``refused`` is given the store's error if the store can never take the item.
    """

    def __init__(
        self,
        store: JournalStore,
        *,
        max_items: int,
        max_bytes: int,
        written: Callable[[SagaRun], None],
        refused: Callable[[SagaRun, ValueError | None], None],
        fenced: Callable[[UUID], None],
        uniform: Callable[[float, float], float],
        monotonic_s: Callable[[], float],
        observer: Observer,
        linger_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """``linger_s`` tells how long the next batch may fill beyond what is ready at this moment."""
        self._store = store
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._written = written
        self._refused = refused
        self._fenced = fenced
        self._uniform = uniform
        self._monotonic_s = monotonic_s
        self._observer = observer
        self._linger_s = linger_s
        self._dirty: dict[UUID, SagaRun] = {}
        self._in_flight: dict[UUID, SagaRun] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.node_id: UUID | None = None
        self.store_answers = True
        """False while a commit is being repeated because the store does not answer."""
        self._unanswered = False
        """Whether some commit of the batch in flight got no answer."""
        self.batches = 0
        self.items = 0

    def mark_dirty(self, run: SagaRun) -> None:
        """The saga has something to write. At the most ``max_sagas`` are dirty: it is those in memory."""
        self._dirty[run.saga_id] = run
        self._idle.clear()
        self._wake.set()

    @property
    def dirty(self) -> int:
        """Sagas that have something to write and are in no batch yet."""
        return len(self._dirty)

    def is_writing(self, saga_id: UUID) -> bool:
        """Whether an item of the saga may still land. It must not be resumed meanwhile: its journal is not known."""
        return saga_id in self._in_flight

    async def run(self) -> None:
        """Writes until it is cancelled; then the batch in flight still ends by itself, unseen."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._linger_s())  # 0 lets everything that is ready at this moment join the batch
            runs, batch = self._take()
            if runs:
                await self._commit(runs, batch)
            if not self._dirty:
                self._wake.clear()
                self._idle.set()

    async def flush(self, timeout_s: float) -> bool:
        """Waits until nothing is dirty or in flight; False if that took too long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def clear(self) -> None:
        """Forgets what is dirty: the node owns nothing any more."""
        self._dirty.clear()

    def _take(self) -> tuple[dict[UUID, SagaRun], Batch]:
        runs: dict[UUID, SagaRun] = {}
        new: list[NewSaga] = []
        checkpoints: list[Checkpoint] = []
        size = 0
        while self._dirty and len(runs) < self._max_items and size < self._max_bytes:
            saga_id = next(iter(self._dirty))
            run = self._dirty.pop(saga_id)
            if not run.has_item():
                continue
            item = run.take_item()
            runs[saga_id] = run
            size += sum(len(entry.attributes) for entry in item.entries)
            if isinstance(item, NewSaga):
                size += len(item.input)
                new.append(item)
            else:
                checkpoints.append(item)
        return runs, Batch(tuple(new), tuple(checkpoints))

    async def _commit(self, runs: dict[UUID, SagaRun], batch: Batch) -> None:
        """Writes the batch, again and again under the same seqs while its outcome is unknown."""
        node_id = self.node_id  # a batch belongs to one incarnation, however long it takes to be written
        assert node_id is not None, "the node is registered before anything is written"
        self._in_flight = runs
        self._unanswered = False
        try:
            errors: dict[UUID, ValueError] = {}
            began_s = self._monotonic_s()
            written = await self._until_answered(node_id, batch, errors)
            self._observer.committed(len(runs), self._monotonic_s() - began_s)
            self.batches += 1
            self.items += len(runs)
            if len(written) < len(runs):
                items: tuple[NewSaga | Checkpoint, ...] = (*batch.new, *batch.checkpoints)
                missing = {item.saga_id: item for item in items if item.saga_id not in written}
                written |= await self._find_landed(node_id, missing)
        except NodeFenced:
            log.warning("node_fenced", node=str(node_id))
            self.store_answers = True
            self._fenced(node_id)
            written, errors = frozenset(), {}
        finally:
            self._in_flight = {}
        for saga_id, run in runs.items():
            if saga_id in written:
                self._settle(run)
            else:
                if not run.is_new:  # a start whose request_id is taken is a repeat, and no fault
                    log.warning("checkpoint_refused", **run.tags(), node=str(node_id))
                run.is_uncertain = self._unanswered
                self._refused(run, errors.get(saga_id))

    def _settle(self, run: SagaRun) -> None:
        self._written(run)
        if run.has_item():
            self.mark_dirty(run)

    async def _until_answered(self, node_id: UUID, batch: Batch, errors: dict[UUID, ValueError]) -> frozenset[UUID]:
        """The sagas that were written. Puts into ``errors`` those whose item the store can never take."""
        delay_s = FIRST_RETRY_S
        while True:
            try:
                written = await self._store.commit(node_id, batch)
            except NodeFenced:
                raise
            except ValueError as error:
                self.store_answers = True
                return await self._one_by_one(node_id, batch, error, errors)
            except Exception as error:
                if self.store_answers or not isinstance(error, StoreUnavailable):
                    log.warning("commit_outcome_unknown", node=str(node_id), error=f"{type(error).__name__}: {error}")
                self.store_answers, self._unanswered = False, True
                await asyncio.sleep(delay_s * self._uniform(0.5, 1.0))
                delay_s = min(delay_s * 2, LAST_RETRY_S)
            else:
                self.store_answers = True
                return written

    async def _one_by_one(
        self, node_id: UUID, batch: Batch, error: ValueError, errors: dict[UUID, ValueError]
    ) -> frozenset[UUID]:
        """One item that the store cannot take must not hold up the others."""
        items: tuple[NewSaga | Checkpoint, ...] = (*batch.new, *batch.checkpoints)
        if len(items) == 1:
            tags = self._in_flight[items[0].saga_id].tags()
            log.error("item_impossible", **tags, node=str(node_id), error=str(error))
            errors[items[0].saga_id] = error
            return frozenset()
        written: frozenset[UUID] = frozenset()
        for item in items:
            alone = Batch(new=(item,)) if isinstance(item, NewSaga) else Batch(checkpoints=(item,))
            written |= await self._until_answered(node_id, alone, errors)
        return written

    async def _find_landed(self, node_id: UUID, missing: Mapping[UUID, NewSaga | Checkpoint]) -> frozenset[UUID]:
        """Of the items that did not match: those that an earlier, unanswered commit of this node had written."""
        positions: Mapping[UUID, Position] | None = None
        delay_s = FIRST_RETRY_S
        while positions is None:
            try:
                positions = await self._store.positions(list(missing))
            except Exception as error:
                log.warning("positions_not_read", node=str(node_id), error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, LAST_RETRY_S)
        landed: set[UUID] = set()
        for saga_id, item in missing.items():
            position = positions.get(saga_id)
            if position is None or position.epoch != item.epoch:
                continue
            last_seq = item.entries[-1].seq if item.entries else item.seq if isinstance(item, Checkpoint) else 0
            released = isinstance(item, Checkpoint) and item.release
            owner_fits = position.owner is None if released else position.owner == node_id
            if position.last_seq == last_seq and owner_fits and position.status is item.row.status:
                landed.add(saga_id)
        return frozenset(landed)
