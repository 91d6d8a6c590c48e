"""Starting a saga: one commit, and the rules of ``request_id`` and the concurrency key."""

import asyncio
import hashlib
from collections.abc import Callable
from uuid import UUID

from google.protobuf.message import Message

from orchestrator.core.backoff import US, CorePolicy
from orchestrator.core.fold import initial
from orchestrator.core.inputs import Begun
from orchestrator.core.state import INCARNATION_SHIFT
from orchestrator.definitions.errors import PayloadError
from orchestrator.definitions.model import Definition
from orchestrator.engine.dispatch import Dispatcher
from orchestrator.engine.ports import JournalStore, Started, StoreUnavailable
from orchestrator.engine.run import Origin, SagaRun

ROUNDS = 5
"""How often a start tries again when what stood in its way was gone at the second look."""


class Starter:
    """Starts sagas on this node."""

    def __init__(
        self,
        store: JournalStore,
        dispatcher: Dispatcher,
        policy: CorePolicy,
        new_id: Callable[[], UUID],
        *,
        admit: Callable[[], None],
        timeout_s: float,
    ) -> None:
        """``admit`` raises unless this node may take one more saga now."""
        self._store = store
        self._dispatcher = dispatcher
        self._policy = policy
        self._new_id = new_id
        self._admit = admit
        self._timeout_s = timeout_s
        self.incarnation = 0
        self.definition_ids: dict[tuple[str, int], int] = {}

    async def start(self, definition: Definition, saga_input: Message, *, caller: str, request_id: str) -> Started:
        """See :meth:`orchestrator.engine.api.SagaEngine.start`."""
        self._admit()
        key = definition.concurrency_key(saga_input)
        stored_input = definition.store_input(saga_input)
        request_hash = hashlib.sha256(definition.name.encode() + b"\0" + stored_input).digest()
        definition_id = self.definition_ids[definition.name, definition.version]
        origin = Origin(definition_id, caller, request_id, request_hash, key, stored_input)
        for _ in range(ROUNDS):
            run = await self._insert(definition, saga_input, origin)
            if run is not None:
                return Started(run.saga_id)
            found = await self._find_obstacle(definition, origin)
            if found is not None:
                return found
            self._admit()
        raise StoreUnavailable("the start lost a race again and again; repeat it with the same request_id")

    async def _insert(self, definition: Definition, saga_input: Message, origin: Origin) -> SagaRun | None:
        """The run once it is durable; None if a unique key refused it."""
        epoch = self.incarnation << INCARNATION_SHIFT | 1
        state = initial(definition.spec, str(self._new_id()))
        run = SagaRun(self._dispatcher, definition, state, saga_input, epoch=epoch, policy=self._policy, origin=origin)
        run.started = asyncio.get_running_loop().create_future()
        deadline_us = self._dispatcher.now_us() + int(definition.spec.deadline_s * US)
        self._dispatcher.feed(run, Begun(epoch, deadline_us))
        self._dispatcher.add(run)
        try:
            async with asyncio.timeout(self._timeout_s):
                written = await run.started
        except TimeoutError:
            raise StoreUnavailable("whether the saga was stored is not known yet") from None
        if run.error is not None:
            raise PayloadError(
                f"saga {definition.label}: the store cannot take this request; send ids and keys without NUL characters"
            )
        if not written and run.is_uncertain:
            # What refused the second try may be gone before the first one lands.
            raise StoreUnavailable("a commit without an answer may still store the saga")
        if not written and not run.was_refused:
            raise StoreUnavailable("this node lost its lease while the saga was being stored")
        return run if written else None

    async def _find_obstacle(self, definition: Definition, origin: Origin) -> Started | None:
        before = await self._store.find_request(origin.caller, origin.request_id)
        if before is not None:
            if before.request_hash == origin.request_hash:
                return Started(before.saga_id, already_started=True)
            return Started(before.saga_id, conflict="request_id")
        if origin.concurrency_key is not None:
            holder = await self._store.find_live_key(definition.name, origin.concurrency_key)
            if holder is not None:
                return Started(holder, conflict="concurrency_key")
        return None
