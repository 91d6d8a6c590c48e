"""Waiting for a saga, wherever it runs."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from uuid import UUID

import structlog

from orchestrator.core.state import TERMINAL, SagaState, SagaStatus
from orchestrator.definitions.errors import BuilderError, PayloadError
from orchestrator.definitions.model import Definition
from orchestrator.definitions.registry import Registry
from orchestrator.engine.api import SagaView, Standing
from orchestrator.engine.journal import JournalError, step_names
from orchestrator.engine.ports import Store
from orchestrator.engine.resume import replay, tags_of
from orchestrator.engine.run import SagaRun
from orchestrator.engine.stored import StoredSaga
from orchestrator.engine.watches import Watch, Watches

log = structlog.get_logger(__name__)


class Follower:
    """Answers where sagas stand: from memory if the saga is there, else from the store."""

    def __init__(
        self, store: Store, registry: Registry, watches: Watches, find_run: Callable[[UUID], SagaRun | None]
    ) -> None:
        self._store = store
        self._registry = registry
        self._watches = watches
        self._find_run = find_run

    async def wait(self, saga_id: UUID, timeout_s: float) -> Standing | None:
        """See :meth:`orchestrator.engine.api.SagaEngine.wait`."""
        run = self._find_run(saga_id)
        watch = self._watches.open(saga_id, until_over=True)
        try:
            if run is None:
                # It may have ended before the watch was opened.
                position = (await self._store.positions([saga_id])).get(saga_id)
                if position is None:
                    return None
                watch.tell(position.last_seq, position.status)
            await self._until_over(watch, timeout_s)
        finally:
            self._watches.close(saga_id, watch)
        if run is not None and (run.durable_status in TERMINAL or not run.dropped):
            return standing_of_run(run)
        view = await self.view(saga_id)
        return None if view is None else standing_of_view(view)

    async def _until_over(self, watch: Watch, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not watch.is_over:
                    await watch.changed.wait()
                    watch.changed.clear()
        except TimeoutError:
            pass

    async def follow(self, saga_id: UUID, after_seq: int) -> AsyncGenerator[int, None]:
        """See :meth:`orchestrator.engine.api.SagaEngine.follow`."""
        watch = self._watches.open(saga_id)
        try:
            position = (await self._store.positions([saga_id])).get(saga_id)
            if position is not None:
                watch.tell(position.last_seq, position.status)
            seen = after_seq
            while True:
                if watch.seq > seen:
                    seen = watch.seq
                    yield seen
                    continue  # it may have grown, and ended, while the caller was busy with this
                if watch.interrupted or watch.status in TERMINAL:
                    return
                await watch.changed.wait()
                watch.changed.clear()
        finally:
            self._watches.close(saga_id, watch)

    async def view(self, saga_id: UUID) -> SagaView | None:
        """See :meth:`orchestrator.engine.api.SagaEngine.view`."""
        found = await self._store.load([saga_id])
        return self.interpret(found[0]) if found else None

    def interpret(self, stored: StoredSaga) -> SagaView:
        """Folds a stored saga's journal, if its definition is loaded here and can read it."""
        definition = self._registry.find_digest(stored.digest)
        if definition is None:
            return SagaView(stored, None, None, b"")
        try:
            state = replay(definition, stored)
            result = build_result(definition, state, stored) if state.status is SagaStatus.COMPLETED else b""
        except (JournalError, PayloadError) as error:
            log.warning("journal_unreadable", **tags_of(stored), error=str(error))
            return SagaView(stored, None, None, b"")
        return SagaView(stored, definition, state, result)


def build_result(definition: Definition, state: SagaState, stored: StoredSaga) -> bytes:
    """The saga's output, a function of its journal; empty if its builder fails, which undoes nothing by then."""
    responses = [
        None if step.response is None else definition.parse_response(index, step.response)
        for index, step in enumerate(state.steps)
    ]
    try:
        return definition.build_result(definition.parse_input(stored.input), responses)
    except BuilderError as error:
        log.error("result_builder_failed", **tags_of(stored), error=str(error))  # noqa: TRY400  (its text suffices)
        return b""


def standing_of_run(run: SagaRun) -> Standing:
    """Where a saga in memory stands, durably: what is not yet written is not told."""
    state, result = run.state, None
    if run.durable_status is SagaStatus.COMPLETED:
        try:
            data = run.definition.build_result(run.input, run.responses())
            result = run.definition.parse_output(data) if run.definition.output is not None else None
        except (BuilderError, PayloadError) as error:
            log.error("result_builder_failed", **run.tags(), error=str(error))  # noqa: TRY400  (as above)
    return Standing(
        run.saga_id,
        run.durable_status,
        None if state.failed_step is None else run.names[state.failed_step],
        state.failure,
        result,
    )


def standing_of_view(view: SagaView) -> Standing:
    """Where a stored saga stands."""
    row, state, definition = view.stored.row, view.state, view.definition
    result = None
    if definition is not None and definition.output is not None and row.status is SagaStatus.COMPLETED:
        result = definition.parse_output(view.result)
    failed_step = row.failed_step
    if state is not None and definition is not None and state.failed_step is not None:
        failed_step = step_names(definition.spec)[state.failed_step]
    return Standing(view.stored.saga_id, row.status, failed_step, state.failure if state else None, result)
