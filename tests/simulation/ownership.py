"""Leases, fences and claims, as ``orchestrator/storage/leases.py`` and ``claims.py`` have them."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import NodeFenced
from orchestrator.engine.stored import JournalEntry, MissingDefinition, RowState
from tests.simulation.tables import LIVE, Node, Saga, Tables

SAGA_CLAIMED: Final = 2
STATEMENT_TIMEOUT_S: Final = 3.0
FENCE_KEPT_US: Final = 24 * 3600 * 1_000_000
SUSPECT_CLAIMS: Final = 2


class Ownership(Tables):
    """Who owns what."""

    def register_definitions(self, definitions: Sequence[tuple[str, int, bytes]]) -> Mapping[tuple[str, int], int]:
        """See ``LeaseStore.register_definitions``; a changed digest is told by the caller."""
        known = {(name, version): number for number, (name, version, _) in self.definitions.items()}
        for name, version, digest in sorted(definitions):
            if (name, version) not in known:
                known[name, version] = len(self.definitions) + 1
                self.definitions[len(self.definitions) + 1] = (name, version, digest)
        return {(name, version): known[name, version] for name, version, _ in definitions}

    def register_node(self, node_id: UUID, name: str, definition_ids: Sequence[int], lease_ttl_s: float) -> int:
        """See ``LeaseStore.register_node``."""
        if lease_ttl_s <= STATEMENT_TIMEOUT_S:
            raise ValueError("lease_ttl_s must be above statement_timeout_s, or a write may outlive the lease")
        now_us = self.now_us()
        for other, fenced_us in list(self.fences.items()):
            if fenced_us is not None and fenced_us < now_us - FENCE_KEPT_US and not self.owners.get(other):
                del self.fences[other]
        if self.fences.setdefault(node_id, None) is not None:
            raise NodeFenced(f"node {node_id} was fenced; a new incarnation takes a new node id")
        self.nodes[node_id] = Node(name, tuple(definition_ids), now_us + int(lease_ttl_s * 1_000_000))
        return now_us

    def renew(self, node_id: UUID, lease_ttl_s: float) -> int:
        """See ``LeaseStore.renew``."""
        node = self.nodes.get(node_id)
        if node is None:
            raise NodeFenced(f"node {node_id} was fenced: its lease had lapsed")
        now_us = self.now_us()
        node.lease_expires_us = now_us + int(lease_ttl_s * 1_000_000)
        return now_us

    def release_node(self, node_id: UUID) -> int:
        """See ``LeaseStore.release_node``."""
        freed = list(self.owners.get(node_id, {}).values())
        for saga in freed:
            self.place(saga, None, self.now_us() if saga.row.status in LIVE else None)
        self.nodes.pop(node_id, None)
        if self.holds_fence(node_id):
            self.fences[node_id] = self.now_us()
        self.notify("claimable", None)
        return len(freed)

    def fence_expired(self, node_id: UUID) -> Sequence[UUID]:
        """See ``LeaseStore.fence_expired``."""
        now_us = self.now_us()
        for other in sorted(self.nodes):
            if other != node_id and self.nodes[other].lease_expires_us < now_us:
                del self.nodes[other]
                self.fences[other] = now_us
        return [other for other, fenced_us in self.fences.items() if fenced_us is not None and self.owners.get(other)]

    def raise_incarnation(self) -> None:
        """What an operator does after a lossy failover: every node from before is fenced."""
        self.incarnation += 1
        self.nodes.clear()
        for node_id in self.fences:
            self.fences[node_id] = self.now_us() if self.fences[node_id] is None else self.fences[node_id]

    def claim(
        self,
        node_id: UUID,
        definition_ids: Sequence[int],
        from_nodes: Sequence[UUID],
        limit: int,
        *,
        suspects: bool,
        attributes: tuple[bytes, bytes],
    ) -> Sequence[UUID]:
        """See ``LeaseStore.claim``. ``attributes`` of a claim after a release, and after a crash."""
        if not self.holds_fence(node_id):
            raise NodeFenced(f"node {node_id} was fenced; nothing was claimed")
        dead = [other for other in from_nodes if self.fences.get(other) is not None]
        left = [saga for other in dead for saga in self.owners.get(other, {}).values()]
        asked = {request.saga.saga_id: request.saga for request in self.waiting.values()}

        def suits(saga: Saga) -> bool:
            return saga.definition_id in definition_ids and (saga.stale_claims >= SUSPECT_CLAIMS) is suspects

        crashed = [saga for saga in left if suits(saga) and _runs(saga, asked)][:limit]
        stranded = [saga for saga in left if not _runs(saga, asked) or saga.definition_id not in definition_ids]
        if len(crashed) == limit:
            stranded = []
        free = [saga for saga in asked.values() if suits(saga) and saga.owner is None and saga.ended_us is None]
        due = [saga for saga in self.due.values() if suits(saga) and (saga.wake_at_us or 0) <= self.now_us()]
        free += sorted(due, key=lambda saga: saga.wake_at_us or 0)
        chosen = {saga.saga_id: saga for saga in (*crashed, *free)}
        claimed = list(chosen.values())[:limit]
        died = {saga.saga_id for saga in crashed}
        for saga in claimed:
            self._take(saga, node_id, attributes, crashed=saga.saga_id in died)
        for saga in stranded:
            self.place(saga, None, self.now_us() if saga.row.status in LIVE else None)
        if stranded:
            self.notify("claimable", None)
        return [saga.saga_id for saga in claimed]

    def next_epoch(self, saga: Saga) -> int:
        """The epoch of the next claim."""
        return max(saga.epoch, self.incarnation << 32) + 1

    def _take(self, saga: Saga, node_id: UUID, attributes: tuple[bytes, bytes], *, crashed: bool) -> None:
        saga.epoch = self.next_epoch(saga)
        saga.last_seq += 1
        if saga.row.status is SagaStatus.PENDING:
            saga.row = RowState(SagaStatus.RUNNING, saga.row.deadline_us)
        saga.stale_claims += crashed
        saga.updated_us = self.now_us()
        self.place(saga, node_id, None)
        entry = JournalEntry(saga.last_seq, SAGA_CLAIMED, attributes[crashed], saga.updated_us)
        self.append(saga, saga.epoch, (entry,), node_id)

    def owned(self, node_id: UUID) -> Sequence[UUID]:
        """See ``LeaseStore.owned``."""
        return sorted(self.owners.get(node_id, ()))

    def has_died(self, node_id: UUID) -> bool:
        """Whether another node's lease has lapsed, or a fenced one still owns sagas."""
        now_us = self.now_us()
        for other, node in self.nodes.items():
            if node.lease_expires_us < now_us and other != node_id:
                return True
        return any(fenced_us is not None and self.owners.get(other) for other, fenced_us in self.fences.items())

    def has_claimable(self, definition_ids: Sequence[int]) -> bool:
        """Whether some unowned saga is due, or has a request."""
        now_us = self.now_us()
        for saga in self.due.values():
            if (saga.wake_at_us or 0) <= now_us and saga.definition_id in definition_ids:
                return True
        for request in self.waiting.values():
            saga = request.saga
            if saga.owner is None and saga.ended_us is None and saga.definition_id in definition_ids:
                return True
        return False

    def is_loaded(self, definition_id: int) -> bool:
        """Whether a live node has the definition."""
        now_us = self.now_us()
        return any(n.lease_expires_us > now_us and definition_id in n.definition_ids for n in self.nodes.values())

    def missing_definitions(self) -> Sequence[MissingDefinition]:
        """See ``LeaseStore.missing_definitions``."""
        missing: list[MissingDefinition] = []
        for number, (name, version, digest) in sorted(self.definitions.items(), key=lambda item: item[1][:2]):
            if not self.is_loaded(number):
                live = sum(s.definition_id == number and s.ended_us is None for s in self.sagas.values())
                if live:
                    missing.append(MissingDefinition(name, version, digest, live))
        return missing


def _runs(saga: Saga, asked: Mapping[UUID, Saga]) -> bool:
    """Whether a saga of a dead node has something to do: a stuck one only if a request waits for it."""
    return saga.row.status is not SagaStatus.STUCK or saga.saga_id in asked
