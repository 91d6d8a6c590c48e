"""How tenants' questions reach the rows: by indexes of their own, and never by a walk over everybody's."""

import itertools

import asyncpg
import pytest

from orchestrator.core.events import Failure
from orchestrator.core.state import SagaStatus
from orchestrator.engine.stored import Batch, SagaFilter, Visibility
from orchestrator.operations.values import (
    AttentionKind,
    AttentionPolicy,
    AuditAction,
    AuditFilter,
    AuditRecord,
    FoundSaga,
    NewBulk,
    SagaAction,
    Selection,
)
from orchestrator.storage.operator_queries import MAX_SCANNED
from tests.integration.storage.plans import FILL, noted_plans, rows_read
from tests.integration.storage.sagas import World, next_saga_id

S = SagaStatus
POLICY = AttentionPolicy(blocked_s=60.0, silent_s=120.0)
# Every fiftieth is acme's: stuck, running, compensated and completed ones. The others are bolt's and nobody's.
TENANTS = "CASE WHEN i % 50 = 0 THEN 'acme' WHEN i % 2 = 0 THEN 'bolt' ELSE '' END"
ACME = Visibility(("acme",))
OF_ACME = 600
NO = Failure(0, "SAGA_STATE", "no")


@pytest.fixture
async def plans(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The plans of the store's statements, over many sagas of three tenants."""
    await world.db.execute(FILL.replace("'' AS tenant", TENANTS), world.definition_id)
    await world.db.execute("ANALYZE saga")
    return noted_plans(world, monkeypatch)


async def search(world: World, where: Selection, limit: int = 1000) -> list[FoundSaga]:
    """Every page."""
    found: list[FoundSaga] = []
    page = await world.store.search(where, POLICY, limit=limit)
    found += page.sagas
    while page.before is not None:
        page = await world.store.search(where, POLICY, limit=limit, before=page.before)
        found += page.sagas
    return found


CASES = [
    (Selection(visibility=ACME), "saga_tenant", OF_ACME),
    (Selection(states=(S.COMPENSATED,), visibility=ACME), "saga_tenant_undone", 200),
    (Selection(states=(S.STUCK,), visibility=ACME), "saga_stuck", 100),
    (Selection(live=True, visibility=ACME), "", 200),
    (Selection(attention=(AttentionKind.STUCK,), visibility=ACME), "saga_stuck", 100),
    (Selection(states=(S.COMPLETED,), visibility=ACME), "saga_tenant", 200),
]


@pytest.mark.parametrize(("where", "index", "count"), CASES)
async def test_a_tenants_search_reads_no_more_than_its_own(
    world: World, plans: list[str], where: Selection, index: str, count: int
) -> None:
    found = await search(world, where)
    assert len(found) == count
    assert {each.stored.tenant for each in found} == {"acme"}
    assert index in plans[-1], plans[-1]
    for plan in plans:
        assert rows_read(plan) <= OF_ACME, plan
    tally = await world.store.tally(where, POLICY)
    assert (sum(group.sagas for group in tally.groups), tally.at_least) == (count, False)
    assert rows_read(plans[-1]) <= OF_ACME, plans[-1]


async def test_a_page_of_several_tenants_merges_their_walks(world: World, plans: list[str]) -> None:
    both = Visibility(("acme", "bolt"))
    page = await world.store.list_sagas(SagaFilter(visibility=both), limit=20, before=None)
    assert [saga.saga_id for saga in page] == sorted((saga.saga_id for saga in page), reverse=True)
    assert {saga.tenant for saga in page} == {"acme", "bolt"}
    assert "Merge Append" in plans[-1]
    assert rows_read(plans[-1]) <= 50, plans[-1]
    page = await world.store.list_sagas(SagaFilter(visibility=ACME), limit=20, before=None)
    assert {saga.tenant for saga in page} == {"acme"}
    assert rows_read(plans[-1]) <= 20, plans[-1]
    assert len(await search(world, Selection(visibility=both))) == 15_000
    assert all(rows_read(plan) <= 2 * MAX_SCANNED for plan in plans)


async def test_what_nobody_calls_theirs_is_found_within_the_bound_of_a_look(world: World, plans: list[str]) -> None:
    nobodys = Selection(visibility=Visibility(("",)))
    found = await search(world, nobodys)
    assert (len(found), {each.stored.tenant for each in found}) == (15_000, {""})
    ids = [each.stored.saga_id for each in found]
    assert ids == sorted(set(ids), reverse=True), "none twice, none left out"
    assert all(rows_read(plan) <= MAX_SCANNED + 1 for plan in plans)


async def test_where_a_page_goes_on_names_nobody_elses_saga(world: World, plans: list[str]) -> None:
    every = {row["saga_id"] for row in await world.db.fetch("SELECT saga_id FROM saga")}
    for visibility in (Visibility(("",)), Visibility(caller="nobody"), Visibility(("bolt",), "nobody")):
        page = await world.store.search(Selection(created_to_us=1, visibility=visibility), POLICY, limit=5)
        assert (page.sagas, page.before) == ((), None)
        page = await world.store.search(Selection(caller="nobody", visibility=visibility), POLICY, limit=5)
        assert page.sagas == ()
        assert page.before is not None
        assert page.before not in every
    assert plans


async def test_what_may_be_seen_is_asked_by_key(world: World, plans: list[str]) -> None:
    rows = await world.db.fetch("SELECT saga_id, tenant FROM saga ORDER BY saga_id LIMIT 100")
    found = await world.store.visible([row["saga_id"] for row in rows], ACME)
    assert found == {row["saga_id"] for row in rows if row["tenant"] == "acme"}
    assert rows_read(plans[-1]) <= 100
    await world.store.find_live_key("acme", "place-order", "cart")
    assert "saga_tenant_concurrency_live" in plans[-1]


async def test_numbers_of_the_fleet_are_those_of_ones_own_sagas(world: World, plans: list[str]) -> None:
    first_us, last_us = 1_790_000_000_000_000, 1_790_000_031_000_000
    for visibility, started, live in (
        (Visibility(), 30_000, 200),
        (ACME, 600, 200),
        (Visibility(("bolt",)), 14_400, 0),
    ):
        (bucket,) = await world.store.buckets([first_us, last_us], None, visibility)
        assert bucket.started == started
        assert bucket.completed + bucket.compensated + bucket.resolved == started - live
        (definition,) = await world.store.definitions(visibility)
        assert definition.running + definition.compensating + definition.stuck == live
    assert plans


async def test_the_audit_log_shows_a_tenant_its_own(world: World) -> None:
    numbers = itertools.count(1)
    node = await world.node()
    sagas = {tenant: world.new(tenant=tenant) for tenant in ("acme", "bolt", "")}
    for saga in sagas.values():
        assert await world.store.commit(node, Batch(new=(saga,)))
        action = SagaAction(saga.saga_id, AuditAction.PAUSE, "admin", f"r-{next(numbers)}", "why", 1)
        await world.store.add_action(action)
        record = AuditRecord(
            *(AuditAction.RETRY, "admin", f"r-{next(numbers)}", "why", saga.saga_id), refusal=NO, tenant=saga.tenant
        )
        await world.store.audit(record)
    await world.store.audit(AuditRecord(AuditAction.DRAIN_NODE, "admin", "r-0", "why", target="node"))

    async def seen(visibility: Visibility) -> list[str]:
        where = AuditFilter(visibility=visibility)
        entries = await world.store.list_audit(where, limit=100, before=None)
        for entry in entries:
            assert entry.record.saga_id is None or entry.record.saga_id == sagas[entry.record.tenant].saga_id
        return sorted(entry.record.tenant for entry in entries)

    assert await seen(Visibility()) == ["", "", "", "acme", "acme", "bolt", "bolt"]
    assert await seen(ACME) == ["acme", "acme"]
    assert await seen(Visibility(("bolt", "acme"))) == ["acme", "acme", "bolt", "bolt"]
    assert await seen(Visibility(("",))) == ["", "", ""]
    assert await seen(Visibility(())) == []
    assert await seen(Visibility(("acme",), "somebody")) == []
    assert await seen(Visibility(("acme",), "admin")) == ["acme", "acme"]


async def test_a_bulk_is_seen_by_those_alone_who_see_all_that_it_may_touch(world: World) -> None:
    node = await world.node()
    sagas = [world.new(tenant=tenant) for tenant in ("acme", "bolt", "")]
    for saga in sagas:
        assert await world.store.commit(node, Batch(new=(saga,)))
    views = {
        "all": Visibility(),
        "acme": ACME,
        "two": Visibility(("bolt", "acme")),
        "own": Visibility(("acme",), "ann"),
    }
    bulks = {}
    for name, visibility in views.items():
        bulk = NewBulk(next_saga_id(), AuditAction.PAUSE, "", "", b"", f"by-{name}", "r-1", "why", 1.0, 100)
        where = Selection(live=True, visibility=visibility)
        bulks[name], _ = await world.store.start_bulk(bulk, where, POLICY)
        with pytest.raises(Exception, match="another bulk"):
            await world.store.start_bulk(bulk, Selection(live=True, visibility=Visibility(("",))), POLICY)
    members = await world.db.fetch(
        "SELECT bulk_id, array_agg(tenant) AS tenants FROM bulk_member JOIN saga USING (saga_id) GROUP BY 1"
    )
    chosen = {row["bulk_id"]: sorted(row["tenants"]) for row in members}
    assert {name: chosen.get(bulk_id) for name, bulk_id in bulks.items()} == {
        "all": ["", "acme", "bolt"],
        "acme": ["acme"],
        "two": ["acme", "bolt"],
        "own": None,
    }

    async def seen(visibility: Visibility) -> set[str]:
        listed = {bulk.bulk_id for bulk in await world.store.list_bulks(visibility, limit=10, before=None)}
        assert await world.store.visible_bulks([*bulks.values(), next_saga_id()], visibility) == listed
        log = await world.store.list_audit(AuditFilter(visibility=visibility), limit=10, before=None)
        assert {entry.record.bulk_id for entry in log} <= listed
        return {name for name, bulk_id in bulks.items() if bulk_id in listed}

    assert await seen(Visibility()) == set(bulks)
    assert await seen(ACME) == {"acme", "own"}
    assert await seen(Visibility(("acme", "bolt"))) == {"acme", "two", "own"}
    assert await seen(Visibility(("", "acme", "bolt"))) == {"acme", "two", "own"}, (
        "the one on all may be on others' too"
    )
    assert await seen(Visibility(("acme",), "by-own")) == {"own"}
    assert await seen(Visibility(("bolt",))) == set()


async def test_a_saga_never_changes_its_tenant(world: World) -> None:
    (saga,) = await world.start(await world.node())
    with pytest.raises(asyncpg.RestrictViolationError, match="tenant of a saga never changes"):
        await world.db.execute("UPDATE saga SET tenant = 'acme' WHERE saga_id = $1", saga.saga_id)
