"""Tenants see only their own: sagas, keys, request ids, numbers, pages, bulks and the audit log."""

import asyncio
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as opb
from saga.v1 import saga_service_pb2 as pb

from tests.security.tenants.town import HEAD, POLICY, SEES, STARTERS, WORKER, Town, identity

STATUS = grpc.StatusCode
PAGE_TOKEN: Final = (STATUS.INVALID_ARGUMENT, "PAGE_TOKEN")
LISTS: Final = {
    *("ListSagas", "SearchSagas", "CountSagas", "GetOverview", "ListAudit", "ListBulks"),
    *("ListNodes", "ListDefinitions", "ListParticipants"),
}
"""RPCs that tell of many sagas, or of what was done to them: each has its test here."""


def test_every_list_there_is_has_its_test() -> None:
    files: Any = (pb.DESCRIPTOR, opb.DESCRIPTOR)
    methods = [each for file in files for service in file.services_by_name.values() for each in service.methods]
    named = ("saga_id", "bulk_id")  # the guard asks for each of these whether it may be seen
    found = {
        method.name
        for method in methods
        if not any(name in method.input_type.fields_by_name for name in named)
        and any(field.is_repeated and field.type == FieldDescriptor.TYPE_MESSAGE for field in method.output_type.fields)
    }
    assert found - {"StartBulk"} == LISTS


async def test_one_key_and_one_request_id_start_a_saga_in_each_tenant(town: Town) -> None:
    started = await town.everybody()
    assert len(set(started.values())) == len(STARTERS)
    again = await town.start("ann", "harbour")
    assert (again.saga.saga_id, again.already_started, again.saga.tenant) == (started["ann"], True, "acme")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await town.start("art", "harbour", "r-2")
    assert caught.value.code() is STATUS.ALREADY_EXISTS
    assert started["ann"] in (caught.value.details() or "")
    assert not any(started[who] in (caught.value.details() or "") for who in ("bob", "dee"))


async def test_lists_and_numbers_are_those_of_ones_own_sagas(town: Town) -> None:
    started = await town.everybody()
    for who, seen in SEES.items():
        own = {started[each] for each in seen}
        assert {saga.saga_id for saga in await town.listed(who)} == own
        assert [saga.saga_id for saga in await town.listed(who, 1)] == sorted(own, reverse=True)
        assert {saga.saga_id for saga in await town.searched(who)} == own
        assert {saga.saga_id for saga in await town.searched(who, live=True)} == own
        assert {saga.saga_id for saga in await town.searched(who, request_id="r-1")} == own
        assert {saga.saga_id for saga in await town.searched(who, saga_ids=list(started.values()))} == own
        keyed = {started[each] for each in seen if each != "art"}
        assert {saga.saga_id for saga in await town.searched(who, concurrency_key="harbour")} == keyed
        assert await town.counted(who) == len(own)
        overview = await town.overview(who)
        assert sum(each.sagas for each in overview.live) == len(own)
        assert sum(bucket.started for bucket in overview.buckets) == len(own)
        nodes = (await town.node.call("ListNodes", opb.ListNodesRequest(), who)).nodes
        assert sum(node.sagas for node in nodes) == len(own)
        definitions = (await town.node.call("ListDefinitions", opb.ListDefinitionsRequest(), who)).definitions
        assert {each.name: each.running for each in definitions if each.running} == {"single": len(own)}
        assert {each.safe_to_remove for each in definitions if each.name != "single"} == {who == "admin"}


NARROWED: Final = [
    ("admin", "acme", {"ann", "art"}),
    ("admin", "", {"dee"}),
    ("eve", "bolt", {"bob"}),
    ("ann", "acme", {"ann", "art"}),
    ("ann", "bolt", set()),
    ("ann", "", set()),
]


async def test_a_filter_by_tenant_narrows_and_never_widens(town: Town) -> None:
    started = await town.everybody()
    for who, tenant, seen in NARROWED:
        found = await town.searched(who, tenant=tenant)
        assert {saga.saga_id for saga in found} == {started[each] for each in seen}
        request = opb.CountSagasRequest(query=op.SagaQuery(tenant=tenant, live=True))
        assert (await town.node.call("CountSagas", request, who)).sagas == len(seen)


async def test_what_needs_attention_is_counted_for_whom_it_concerns(town: Town) -> None:
    await town.everybody()
    await town.node.rig.db.execute(
        "UPDATE saga SET waiting_step = 'take', deadline_at = clock_timestamp() - interval '1 s'"
    )
    for who, own in SEES.items():
        request = opb.ListParticipantsRequest()
        participants = (await town.node.call("ListParticipants", request, who)).participants
        assert sum(each.attention for each in participants) == len(own)
        attention = (await town.overview(who)).attention
        assert sum(each.sagas for each in attention) == len(own)
        samples = {each.sample_saga_id for each in attention}
        assert samples <= {saga.saga_id for saga in await town.listed(who)}


async def test_another_tenants_saga_is_not_there(town: Town) -> None:
    started = await town.everybody()
    missing = (STATUS.NOT_FOUND, "SAGA_NOT_FOUND")
    assert await town.refusal("GetSaga", pb.GetSagaRequest(saga_id=started["bob"]), "ann") == missing
    assert await town.refusal("GetSaga", pb.GetSagaRequest(saga_id=started["dee"]), "ann") == missing
    assert await town.refusal("GetSaga", pb.GetSagaRequest(saga_id=started["ann"]), "dee") == missing
    cancel = pb.CancelSagaRequest(saga_id=started["bob"], request_id="c-1")
    assert await town.refusal("CancelSaga", cancel, "ann") == missing


async def test_the_audit_log_tells_a_tenant_what_was_done_to_its_own(town: Town) -> None:
    started = await town.everybody()
    for who in STARTERS:
        await town.pause(who if who != "art" else "admin", started[who], f"p-{who}", await town.version(started[who]))
    hold = opb.HoldParticipantRequest(request_id="h-1", service="payment.v1.PaymentService", reason="of nobody's saga")
    await town.node.call("HoldParticipant", hold, "admin")
    for who, own in SEES.items():
        entries = await town.audit(who)
        assert {entry.saga_id for entry in entries if entry.saga_id} == {started[each] for each in own}
        assert {entry.tenant for entry in entries} <= {saga.tenant for saga in await town.listed(who)}
        for other in STARTERS:
            assert len(await town.audit(who, saga_id=started[other])) == (other in own)
    assert [entry.target for entry in await town.audit("bob") if entry.target] == []
    assert (await town.overview("ann")).paused == 2
    assert (await town.overview("bob")).paused == 1


def bulk_request(request_id: str, **query: Any) -> opb.StartBulkRequest:
    return opb.StartBulkRequest(
        request_id=request_id,
        query=op.SagaQuery(definition="single", **query),
        action=op.BulkAction(action=op.OPERATOR_ACTION_PAUSE),
        reason="a test",
        rate_per_s=1000.0,
    )


async def test_a_bulk_touches_no_other_tenants_sagas(town: Town) -> None:
    started = await town.everybody()
    rehearsed = bulk_request("b-0")
    rehearsed.validate_only = True
    plan = await town.node.call("StartBulk", rehearsed, "ann")
    assert plan.bulk.members == 2
    assert {each.saga.saga.saga_id for each in plan.sample} == {started["ann"], started["art"]}
    bulk = (await town.node.call("StartBulk", bulk_request("b-1"), "ann")).bulk
    request = opb.ListBulkMembersRequest(bulk_id=bulk.bulk_id)
    members = (await town.node.call("ListBulkMembers", request, "ann")).members
    assert {each.saga_id for each in members} == {started["ann"], started["art"]}
    stream = town.node.operators().WatchBulk(
        opb.WatchBulkRequest(bulk_id=bulk.bulk_id), timeout=30, metadata=town.node.metadata("ann")
    )
    last = [each.bulk async for each in stream][-1]
    assert (last.state, last.granted) == (op.BULK_STATE_DONE, 2)
    assert {saga.saga_id for saga in await town.searched("admin", paused=True)} == {started["ann"], started["art"]}
    gone = (STATUS.NOT_FOUND, "BULK_NOT_FOUND")
    assert await town.refusal("GetBulk", opb.GetBulkRequest(bulk_id=bulk.bulk_id), "bob") == gone
    again = bulk_request("b-1", tenant="bolt")
    assert await town.refusal("StartBulk", again, "ann") == (STATUS.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_bulks_are_listed_for_those_who_see_every_member(town: Town) -> None:
    await town.everybody()
    bulks = {}
    for name, who, query in (("all", "admin", {}), ("ours", "ann", {}), ("theirs", "admin", {"tenant": "bolt"})):
        answer = await town.node.call("StartBulk", bulk_request(f"b-{name}", **query), who)
        bulks[answer.bulk.bulk_id] = name
    expected = {
        "admin": {"all", "ours", "theirs"},
        "ann": {"ours"},
        "bob": {"theirs"},
        "dee": set(),
        "eve": {"ours", "theirs"},
    }
    for who, names in expected.items():
        answer = await town.node.call("ListBulks", opb.ListBulksRequest(), who)
        assert {bulks[bulk.bulk_id] for bulk in answer.bulks} == names, who
        told_of = {entry.bulk_id for entry in await town.audit(who) if not entry.saga_id}
        assert {bulks[bulk_id] for bulk_id in told_of if bulk_id} <= names


async def test_a_page_token_is_of_no_use_to_another_tenant(town: Town) -> None:
    await town.everybody()
    for who in ("ann", "art", "ann", "art"):
        number = len((await town.node.call("ListBulks", opb.ListBulksRequest(), "ann")).bulks)
        await town.node.call("StartBulk", bulk_request(f"b-{number}"), who)
    lists: dict[str, Any] = {
        "ListSagas": pb.ListSagasRequest(page_size=1),
        "SearchSagas": opb.SearchSagasRequest(page_size=1),
        "ListBulks": opb.ListBulksRequest(page_size=1),
        "ListAudit": opb.ListAuditRequest(page_size=1, filter=opb.AuditFilter(bulk_members=True)),
    }
    for method, request in lists.items():
        request.page_token = (await town.node.call(method, request, "ann")).next_page_token
        assert request.page_token, method
        for who in ("bob", "dee", "eve", "admin"):
            assert await town.refusal(method, request, who) == PAGE_TOKEN
        assert await town.node.call(method, request, "art"), "who sees the same may go on where a colleague was"


async def test_who_changes_tenants_takes_nothing_along(town: Town) -> None:
    started = await town.everybody()
    moved = POLICY.replace(identity("ann", WORKER, "acme", ["acme"]), identity("ann", WORKER, "bolt", ["bolt"]))
    assert moved != POLICY
    assert moved.startswith(HEAD)
    town.node.rewrite(moved)
    async with asyncio.timeout(30):
        while [saga.saga_id for saga in await town.listed("ann")] != [started["bob"]]:
            pass  # the node has not read the policy yet
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await town.start("ann", "harbour")  # the request of before
    assert caught.value.code() is STATUS.ALREADY_EXISTS
    missing = (STATUS.NOT_FOUND, "SAGA_NOT_FOUND")
    assert await town.refusal("GetSaga", pb.GetSagaRequest(saga_id=started["ann"]), "ann") == missing
    assert (await town.start("ann", "hill", "r-9")).saga.tenant == "bolt"
