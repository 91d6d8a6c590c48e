"""What operators' use-cases need of the store. ``PostgresStore`` implements it."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from orchestrator.core.events import Failure
from orchestrator.engine.stored import StoredEntry, Visibility
from orchestrator.operations.values import (
    AttentionPolicy,
    AuditEntry,
    AuditFilter,
    AuditOutcome,
    AuditRecord,
    Bucket,
    BulkMember,
    DefinitionRow,
    FoundPage,
    Hold,
    NewBulk,
    NodeRow,
    SagaAction,
    Selection,
    StoredBulk,
    Tally,
)


class OperatorStore(Protocol):
    """Every method may raise ``StoreUnavailable``. What changes something writes its entry of the audit log with it."""

    async def search(
        self, where: Selection, policy: AttentionPolicy, *, limit: int, before: UUID | None = None
    ) -> FoundPage:
        """One page, newest first. It may hold fewer than ``limit``, or none, and go on: see ``FoundPage.before``."""

    async def tally(self, where: Selection, policy: AttentionPolicy) -> Tally:
        """Counts the selected sagas in groups; among ended ones it looks at a bounded number of the newest."""

    async def buckets(
        self, edges_us: Sequence[int], definition: str | None, visibility: Visibility
    ) -> Sequence[Bucket]:
        """What happened between consecutive edges, as far as it may be seen: one bucket fewer than there are edges."""

    async def now_us(self) -> int:
        """The database's time."""

    async def nodes(self, visibility: Visibility) -> Sequence[NodeRow]:
        """Every node that has a lease, by name; of its sagas those count that may be seen."""

    async def definitions(self, visibility: Visibility) -> Sequence[DefinitionRow]:
        """Every registered definition, by name and version; of its sagas those count that may be seen."""

    async def add_action(self, action: SagaAction) -> int:
        """Stores a request to a saga, once per (caller, request_id), wakes the owner and returns its number.

        Raises :class:`KeyError`, ``SagaEnded``, ``TooManyRequests`` and ``RequestReused`` as ``RequestStore`` does.
        """

    async def audit(self, record: AuditRecord) -> None:
        """Writes an entry of something that was decided already."""

    async def find_audit(self, caller: str, request_id: str) -> AuditEntry | None:
        """The first entry under a caller's request id."""

    async def list_audit(self, where: AuditFilter, *, limit: int, before: int | None) -> Sequence[AuditEntry]:
        """One page, newest first, older than entry ``before``."""

    async def start_bulk(self, bulk: NewBulk, where: Selection, policy: AttentionPolicy) -> tuple[UUID, bool]:
        """Stores a bulk with its members; returns its id, and whether it had been started before.

        The members are chosen here and now, among those that ``where`` lets be seen: nothing adds to them later.
        Raises ``RequestReused`` if the caller used the request id for another one, or for other tenants' sagas.
        """

    async def get_bulk(self, bulk_id: UUID) -> StoredBulk | None:
        """A bulk and how far it is."""

    async def visible_bulks(self, bulk_ids: Sequence[UUID], visibility: Visibility) -> frozenset[UUID]:
        """Those of the bulks that there are, and whose members may all be seen."""

    async def list_bulks(self, visibility: Visibility, *, limit: int, before: UUID | None) -> Sequence[StoredBulk]:
        """One page, newest first, of those whose members may all be seen."""

    async def running_bulks(self) -> Sequence[StoredBulk]:
        """Every bulk that is not over."""

    async def take_members(self, bulk_id: UUID, limit: int) -> Sequence[UUID]:
        """Members that this node is to begin now, within the rate of the bulk; none if another node has its turn."""

    async def member_asked(self, bulk_id: UUID, saga_id: UUID, number: int) -> None:
        """The member's request is stored under that number."""

    async def member_answers(self, bulk_id: UUID) -> Sequence[tuple[UUID, StoredEntry | None]]:
        """Members whose requests were answered, with the journal's entry; None: the saga ended before."""

    async def members_decided(self, bulk_id: UUID, decided: Sequence[tuple[UUID, Failure | None]]) -> None:
        """What became of members: granted, or why not. Those decided before stay so."""

    async def finish_bulk(self, bulk_id: UUID) -> bool:
        """Ends a bulk whose members are all decided; whether it did."""

    async def cancel_bulk(self, bulk_id: UUID, record: AuditRecord) -> bool:
        """Ends a running bulk; False if it had ended."""

    async def list_members(
        self, bulk_id: UUID, *, outcome: AuditOutcome | None, limit: int, after: UUID | None
    ) -> Sequence[BulkMember]:
        """One page, by saga."""

    async def hold(self, service: str, record: AuditRecord) -> None:
        """Has every node hold the participant."""

    async def release_hold(self, service: str, record: AuditRecord) -> None:
        """Takes a hold back."""

    async def holds(self) -> Sequence[Hold]:
        """Every hold."""

    async def drain_node(self, node_id: UUID, record: AuditRecord) -> bool:
        """Asks a node to hand over its sagas; False if no node of this id has a lease."""

    async def orders(self, node_id: UUID) -> tuple[frozenset[str], bool, bool]:
        """What a node is to heed: the participants that are held, whether it drains, whether a bulk runs."""
