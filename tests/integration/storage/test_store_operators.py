"""How operators' questions reach the rows: by which index, and never by a walk over all that ended."""

import pytest

from orchestrator.core.events import Failure
from orchestrator.core.state import SagaStatus
from orchestrator.operations.values import (
    AttentionKind,
    AttentionPolicy,
    AuditAction,
    AuditFilter,
    AuditOutcome,
    AuditRecord,
    Selection,
)
from tests.integration.storage.plans import FILL, rows_read
from tests.integration.storage.sagas import World

S = SagaStatus
POLICY = AttentionPolicy(blocked_s=60.0, silent_s=120.0)
NOW_US = 1_790_000_000_000_000

ENOUGH_FOR_LIVE = 600
CASES: list[tuple[Selection, str, int]] = [
    (Selection(states=(S.STUCK,)), "saga_stuck", ENOUGH_FOR_LIVE),
    (Selection(attention=(AttentionKind.STUCK,)), "saga_stuck", ENOUGH_FOR_LIVE),
    (Selection(attention=tuple(AttentionKind)[1:]), "saga_live", ENOUGH_FOR_LIVE),
    (Selection(live=True, step="charge"), "saga_live", ENOUGH_FOR_LIVE),
    (Selection(states=(S.RUNNING, S.COMPENSATING)), "saga_live", ENOUGH_FOR_LIVE),
    (Selection(paused=True), "saga_live", ENOUGH_FOR_LIVE),
    (Selection(states=(S.COMPENSATED,)), "saga_undone", 5000),
    (Selection(states=(S.RESOLVED,)), "saga_undone", 5000),
    (Selection(), "saga_pkey", 5000),
    (Selection(states=(S.COMPLETED,), definition="place-order"), "saga_pkey", 5000),
    (Selection(caller="nobody"), "saga_pkey", 5000),
    (Selection(request_id="r-77"), "saga_caller_request_id_key", 10),
]


@pytest.mark.parametrize(("where", "index", "bound"), CASES, ids=lambda value: value if isinstance(value, str) else "")
async def test_every_search_has_its_way(
    world: World, plans: list[str], where: Selection, index: str, bound: int
) -> None:
    await world.store.search(where, POLICY, limit=20)
    assert index in plans[0], plans[0]
    assert "Seq Scan on saga" not in plans[0]
    assert rows_read(plans[0]) <= bound, plans[0]


async def test_what_is_rare_among_the_ended_is_found_by_further_looks(world: World, plans: list[str]) -> None:
    oldest = Selection(request_id=None, created_to_us=NOW_US + 2_000_000)
    page = await world.store.search(oldest, POLICY, limit=5)
    looks = 1
    while not page.sagas and page.before is not None:
        page = await world.store.search(oldest, POLICY, limit=5, before=page.before)
        looks += 1
    assert len(page.sagas) == 5
    assert looks > 1, "one look reads a bounded number"
    assert all(rows_read(plan) <= 5000 for plan in plans)


async def test_counts_stop_at_their_bound(world: World, plans: list[str]) -> None:
    assert len(plans) == 0
    everything = await world.store.tally(Selection(), POLICY)
    assert (sum(group.sagas for group in everything.groups), everything.at_least) == (10_000, True)
    stuck = await world.store.tally(Selection(states=(S.STUCK,)), POLICY)
    assert (sum(group.sagas for group in stuck.groups), stuck.at_least) == (100, False)
    assert {(group.step, group.reason) for group in stuck.groups} == {("charge", "CARD_DECLINED")}
    assert rows_read(plans[-1]) <= ENOUGH_FOR_LIVE


ATTENTION: list[tuple[str, AttentionKind]] = [
    ("state = 6, wake_at = NULL", AttentionKind.STUCK),
    ("paused_at = now(), deadline_at = now() - interval '1 h', wake_at = NULL", AttentionKind.NONE),
    ("blocked_at = now() - interval '59 s'", AttentionKind.NONE),
    ("blocked_at = now() - interval '61 s'", AttentionKind.BLOCKED),
    ("deadline_at = now() - interval '1 s'", AttentionKind.OVERDUE),
    ("updated_at = now() - interval '119 s', wake_at = now() - interval '119 s'", AttentionKind.NONE),
    ("updated_at = now() - interval '121 s', wake_at = NULL", AttentionKind.SILENT),
    ("updated_at = now() - interval '121 s', wake_at = now() + interval '1 h'", AttentionKind.NONE),
    ("updated_at = now() - interval '1 h', blocked_at = now() - interval '30 s'", AttentionKind.NONE),
    ("state = 3, ended_at = now(), wake_at = NULL, deadline_at = now() - interval '1 h'", AttentionKind.NONE),
]


@pytest.mark.parametrize(("change", "kind"), ATTENTION)
async def test_attention_is_what_the_design_says(world: World, change: str, kind: AttentionKind) -> None:
    await world.db.execute(FILL.replace("30000", "150").replace("i % 150 = 0", "i = 150"), world.definition_id)
    node = "INSERT INTO node_fence (node_id) VALUES (gen_random_uuid()) RETURNING node_id"
    node_id = await world.db.fetchval(node)
    lease = "INSERT INTO node (node_id, name, definition_ids, lease_expires_at) VALUES ($1, 'n', $2, 'infinity')"
    await world.db.execute(lease, node_id, [world.definition_id])
    saga_id = await world.db.fetchval("SELECT saga_id FROM saga WHERE state = 2")
    await world.db.execute(f"UPDATE saga SET {change} WHERE saga_id = $1", saga_id)
    page = await world.store.search(Selection(saga_ids=(saga_id,)), POLICY, limit=1)
    assert page.sagas[0].attention is kind
    if kind is not AttentionKind.NONE:
        found = await world.store.search(Selection(attention=(kind,)), POLICY, limit=5)
        assert [each.stored.saga_id for each in found.sagas] == [saga_id]


async def test_a_due_saga_without_a_definition_is_blocked(world: World) -> None:
    await world.db.execute(FILL.replace("30000", "150").replace("i % 150 = 0", "i = 150"), world.definition_id)
    await world.db.execute("UPDATE saga SET wake_at = now() - interval '61 s' WHERE state = 2")
    found = await world.store.search(Selection(attention=(AttentionKind.BLOCKED,)), POLICY, limit=5)
    assert len(found.sagas) == 1


async def test_the_audit_log_is_only_appended_to(world: World) -> None:
    no = Failure(0, "SAGA_STATE", "no")
    await world.store.audit(AuditRecord(AuditAction.RETRY, "ann", "r-1", "why not", refusal=no))
    await world.store.audit(AuditRecord(AuditAction.DRAIN_NODE, "ann", "r-2", "why", target="node"))
    log = await world.store.list_audit(AuditFilter(caller="ann"), limit=10, before=None)
    assert [(entry.outcome, entry.record.refusal) for entry in log] == [
        (AuditOutcome.GRANTED, None),
        (AuditOutcome.REFUSED, no),
    ]
    for statement in (
        "UPDATE operator_audit SET caller = 'bob'",
        "DELETE FROM operator_audit",
        "TRUNCATE operator_audit",
    ):
        with pytest.raises(Exception, match="only appended to"):
            await world.db.execute(statement)
