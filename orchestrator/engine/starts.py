"""Starting a saga: one commit, and the rules of ``request_id`` and the concurrency key."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
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
from orchestrator.engine.tracing import TraceContext, root

ROUNDS = 5
"""How often a start tries again when what stood in its way was gone at the second look."""


@dataclass(frozen=True, slots=True)
class StartGates:
    """What a start asks of its surroundings."""

    serving: Callable[[], None]
    """Raises unless this node may store sagas now."""
    admit: Callable[[str, frozenset[str]], None]
    """Raises unless one more saga may be taken into memory, given its caller and the services that it calls."""
    started: Callable[[UUID, str], None]
    """A caller's saga is in memory."""


class Starter:
    """Starts sagas on this node."""

    def __init__(
        self,
        store: JournalStore,
        dispatcher: Dispatcher,
        policy: CorePolicy,
        new_id: Callable[[], UUID],
        *,
        gates: StartGates,
        monotonic_s: Callable[[], float],
        timeout_s: float,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._policy = policy
        self._new_id = new_id
        self._gates = gates
        self._monotonic_s = monotonic_s
        self._timeout_s = timeout_s
        self.incarnation = 0
        self.definition_ids: dict[tuple[str, int], int] = {}
        self._services: dict[tuple[str, int], frozenset[str]] = {}
        self._live: dict[tuple[str, str], tuple[SagaRun, str, bytes]] = {}
        """By caller and request_id: the sagas in memory that were started here, with their tenant and hash."""
        self._keys: dict[UUID, tuple[str, str]] = {}
        self._waiting: dict[UUID, float] = {}
        """Since when each start waits that is not durable yet, oldest first."""

    async def start(
        self,
        definition: Definition,
        saga_input: Message,
        *,
        caller: str,
        tenant: str = "",
        request_id: str,
        trace: TraceContext | None = None,
    ) -> Started:
        """See :meth:`orchestrator.engine.api.SagaEngine.start`."""
        self._gates.serving()
        known = self._live.get((caller, request_id))
        if known is None or known[0].is_new:
            self._gates.admit(caller, self._services_of(definition))
        key = definition.concurrency_key(saga_input)
        stored_input = definition.store_input(saga_input)
        request_hash = hashlib.sha256(definition.name.encode() + b"\0" + stored_input).digest()
        if known is not None and not known[0].is_new:  # it is durable, and still in memory: no need to ask the store
            same = known[1:] == (tenant, request_hash)
            return Started(known[0].saga_id, already_started=same, conflict=None if same else "request_id")
        definition_id = self.definition_ids[definition.name, definition.version]
        origin = Origin(definition_id, caller, request_id, request_hash, key, stored_input, tenant)
        for _ in range(ROUNDS):
            run = await self._insert(definition, saga_input, origin, trace)
            if run is not None:
                return Started(run.saga_id)
            found = await self._find_obstacle(definition, origin)
            if found is not None:
                return found
            self._gates.serving()
        raise StoreUnavailable("the start lost a race again and again; repeat it with the same request_id")

    async def _insert(
        self, definition: Definition, saga_input: Message, origin: Origin, trace: TraceContext | None
    ) -> SagaRun | None:
        """The run once it is durable; None if a unique key refused it."""
        epoch = self.incarnation << INCARNATION_SHIFT | 1
        saga_id = self._new_id()
        run = SagaRun(
            self._dispatcher,
            definition,
            initial(definition.spec, str(saga_id)),
            saga_input,
            epoch=epoch,
            policy=self._policy,
            trace=trace or root(saga_id),
            size=len(origin.input),
            origin=origin,
        )
        run.started = asyncio.get_running_loop().create_future()
        deadline_us = self._dispatcher.now_us() + int(definition.spec.deadline_s * US)
        self._dispatcher.feed(run, Begun(epoch, deadline_us, trace.pack() if trace else b""))
        self._enter(run, origin)
        patience = asyncio.get_running_loop().call_later(self._timeout_s, _give_up, run.started)
        try:
            written = await run.started
        except TimeoutError:
            raise StoreUnavailable("whether the saga was stored is not known yet") from None
        finally:
            patience.cancel()
            self._waiting.pop(run.saga_id, None)
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

    def _enter(self, run: SagaRun, origin: Origin) -> None:
        if run.dropped:
            return
        self._waiting[run.saga_id] = self._monotonic_s()
        self._keys[run.saga_id] = key = origin.caller, origin.request_id
        self._live[key] = run, origin.tenant, origin.request_hash
        self._gates.started(run.saga_id, origin.caller)
        self._dispatcher.add(run)

    def left(self, saga_id: UUID) -> None:
        """A saga left memory, whoever brought it there."""
        key = self._keys.pop(saga_id, None)
        live = None if key is None else self._live.get(key)
        if key is not None and live is not None and live[0].saga_id == saga_id:  # not that of a second try
            del self._live[key]

    def knows(self, caller: str, request_id: str) -> bool:
        """Whether the request started a saga that is in memory: to find it again costs next to nothing."""
        return (caller, request_id) in self._live

    def waiting_since_s(self) -> float | None:
        """When the start began that has waited longest for its commit; None if none waits."""
        return next(iter(self._waiting.values()), None)

    def _services_of(self, definition: Definition) -> frozenset[str]:
        key = definition.name, definition.version
        services = self._services.get(key)
        if services is None:
            methods = [method for step in definition.steps for method in (step.method, step.compensation)]
            services = self._services[key] = frozenset(method.service for method in methods if method is not None)
        return services

    async def _find_obstacle(self, definition: Definition, origin: Origin) -> Started | None:
        before = await self._store.find_request(origin.caller, origin.request_id)
        if before is not None:
            if (before.tenant, before.request_hash) == (origin.tenant, origin.request_hash):
                return Started(before.saga_id, already_started=True)
            return Started(before.saga_id, conflict="request_id")
        if origin.concurrency_key is not None:
            key = origin.concurrency_key
            holder = await self._store.find_live_key(origin.tenant, definition.name, key)
            if holder is not None:
                return Started(holder, conflict="concurrency_key")
        return None


def _give_up(started: "asyncio.Future[bool]") -> None:
    if not started.done():
        started.set_exception(TimeoutError())
