"""Starting, cancelling, waiting and following, here and from other nodes."""

import asyncio
import time
from collections import Counter
from uuid import UUID

import pytest
from inventory.v1.inventory_pb2 import ReserveResponse

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import Answer, RequestReused, StoreUnavailable
from tests.integration.engine.faulty import CommitFault
from tests.integration.engine.harness import Node, Rig, until
from tests.integration.engine.played import REJECTED, UNAVAILABLE, Seen

BUSY = Answer(8, message="come back", retry_delay_s=60.0)


async def _cancel(node: Node, saga_id: UUID, request_id: str = "cancel-1", timeout_s: float = 15.0) -> str | None:
    """The refusal's reason, or None if it was granted."""
    refusal = await node.engine.cancel(saga_id, caller="local", request_id=request_id, timeout_s=timeout_s)
    return refusal.reason if refusal else None


async def _under_way(rig: Rig, node: Node, name: str = "line", key: str = "charge/action") -> UUID:
    """A saga with a call that does not end by itself."""
    rig.world.gates[key] = asyncio.Event()
    saga_id = await node.start(name)
    await until(lambda: rig.world.count(key) == 1)
    return saga_id


# ---- starting ----


async def test_the_same_request_many_times_at_once_is_one_saga(rig: Rig) -> None:
    nodes = [await rig.node(), await rig.node()]
    order = {"order_id": "o", "warehouse_id": "w"}
    started = await asyncio.gather(*(nodes[i % 2].try_start("single", request_id="same", **order) for i in range(20)))
    assert len({each.saga_id for each in started}) == 1
    assert Counter(each.already_started for each in started) == {True: 19, False: 1}
    assert all(each.conflict is None for each in started)
    await nodes[0].ends(started[0].saga_id)
    again = await nodes[1].try_start("single", request_id="same", **order)
    assert (again.saga_id, again.already_started) == (started[0].saga_id, True)
    assert len(rig.world.effects) == 1


async def test_a_request_id_with_another_payload_is_a_conflict(rig: Rig) -> None:
    node = await rig.node()
    first = await node.try_start(request_id="same", order_id="o-1", warehouse_id="w")
    for other in (
        await node.try_start(request_id="same", order_id="o-2", warehouse_id="w"),
        await node.try_start("fan", request_id="same", order_id="o-1", warehouse_id="w"),
    ):
        assert (other.conflict, other.saga_id) == ("request_id", first.saga_id)
    await node.ends(first.saga_id)
    assert await rig.db.fetchval("SELECT count(*) FROM saga") == 1


async def test_one_live_saga_holds_a_concurrency_key(rig: Rig) -> None:
    nodes = [await rig.node(), await rig.node()]
    rig.world.gates["take/action"] = asyncio.Event()
    started = await asyncio.gather(*(nodes[i % 2].try_start("single", warehouse_id="here") for i in range(10)))
    won = [each for each in started if each.conflict is None]
    assert len(won) == 1
    assert {(each.conflict, each.saga_id) for each in started if each.conflict} == {("concurrency_key", won[0].saga_id)}
    rig.world.gates["take/action"].set()
    await nodes[1].ends(won[0].saga_id)
    await nodes[0].ends(await nodes[0].start("single", warehouse_id="here"))


async def test_a_start_that_may_still_land_is_no_conflict(rig: Rig) -> None:
    """The second try meets a held key, but the first one is on its way, and the key may be free when it lands."""
    holder, node = await rig.node(), await rig.node()
    rig.world.gates["take/action"] = asyncio.Event()
    await holder.start("single", warehouse_id="here")
    node.store.commit_faults.append(CommitFault.NEVER_SENT)
    with pytest.raises(StoreUnavailable):
        await node.try_start("single", request_id="same", order_id="o", warehouse_id="here")
    again = await node.try_start("single", request_id="same", order_id="o", warehouse_id="here")
    assert again.conflict == "concurrency_key"


# ---- cancelling ----


async def test_a_request_finds_a_node_under_its_new_id(rig: Rig) -> None:
    node, other = await rig.node(poll_interval_s=60.0), await rig.node()
    before = await rig.lapse(node)
    await other.store.fence_expired(other.node_id)
    node.store.renewals_away = False
    await until(lambda: node.engine.node_id not in {None, before})
    saga_id = await _under_way(rig, node)
    assert await _cancel(other, saga_id) is None


@pytest.mark.parametrize("asked", [0, 1], ids=["its owner", "another node"])
async def test_cancelling_turns_a_saga_around(rig: Rig, asked: int) -> None:
    nodes = [await rig.node(), await rig.node()]
    saga_id = await _under_way(rig, nodes[0])
    assert await _cancel(nodes[asked], saga_id) is None
    assert await _cancel(nodes[asked], saga_id) is None, "the same request again"
    await nodes[asked].ends(saga_id, SagaStatus.COMPENSATED)
    assert [seen.key for seen in rig.world.cancelled] == ["charge/action"]
    assert rig.world.keys()[-2:] == ["charge/compensation", "reserve/compensation"]
    with pytest.raises(RequestReused):
        await _cancel(nodes[asked], await nodes[0].start("fan"))


async def test_cancelling_before_anything_is_done_ends_in_one_checkpoint(rig: Rig) -> None:
    """The request is consumed and the saga is over at once: the answer must be the request's."""
    node = await rig.node(park_after_s=0.2)
    rig.world.answers["take/action"] = REJECTED
    for number in range(10):
        rig.world.gates["take/action"] = asyncio.Event()
        saga_id = await node.start("single")
        assert await _cancel(node, saga_id, f"cancel-{number}") is None
        await node.ends(saga_id, SagaStatus.COMPENSATED)


async def test_cancelling_a_parked_saga_claims_it(rig: Rig) -> None:
    node = await rig.node(park_after_s=0.2)
    rig.world.answers["charge/action"] = BUSY
    saga_id = await node.start()
    await until(lambda: rig.world.count("charge/action") == 1 and not node.held()["runs"])
    assert await _cancel(node, saga_id) is None
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert (await rig.check_explained(saga_id)).epoch == 2, "one claim was enough"


async def test_a_cancellation_waits_for_whoever_takes_the_saga_over(rig: Rig) -> None:
    owner, other = await rig.node(), await rig.node(poll_interval_s=0.05)
    saga_id = await _under_way(rig, owner)
    await rig.kill(owner)
    rig.world.gates["charge/action"].clear()
    assert await _cancel(other, saga_id) is None
    await other.ends(saga_id, SagaStatus.COMPENSATED)


async def test_cancelling_past_the_pivot_is_refused(rig: Rig) -> None:
    node = await rig.node()
    saga_id = await _under_way(rig, node, "pivoted", "capture/action")
    assert await _cancel(node, saga_id) == "PAST_PIVOT"
    rig.world.gates["capture/action"].set()
    await node.ends(saga_id)


@pytest.mark.parametrize("asked", [0, 1], ids=["last owner", "another node"])
async def test_cancelling_what_is_stuck_or_over_is_refused(rig: Rig, asked: int) -> None:
    nodes = [await rig.node(), await rig.node()]
    stuck = await nodes[0].start("single", order_id="poison")
    await nodes[0].ends(stuck, SagaStatus.STUCK)
    refusal = await nodes[asked].engine.cancel(stuck, caller="local", request_id="c-1", timeout_s=15)
    assert refusal is not None
    assert refusal.reason == "SAGA_STATE"
    assert "stuck" in refusal.message, "what the core says, not that it is over"
    await until(lambda: not any(node.held()["runs"] for node in nodes))
    assert (await rig.stored(stuck)).owner is None
    done = await nodes[0].start()
    await nodes[0].ends(done)
    assert await _cancel(nodes[asked], done, "c-2") == "SAGA_STATE"
    with pytest.raises(KeyError):
        await _cancel(nodes[asked], nodes[0].node_id, "c-3")


# ---- waiting and following ----


async def _followed(node: Node, saga_id: UUID) -> list[int]:
    return [seq async for seq in node.engine.follow(saga_id, 0)]


async def test_waiting_and_following_survive_the_owner(rig: Rig) -> None:
    owner, other = await rig.node(), await rig.node()
    rig.world.answers["reserve/action"] = Answer(0, ReserveResponse(reservation_id="r").SerializeToString())
    saga_id = await _under_way(rig, owner)
    waiting = asyncio.create_task(other.engine.wait(saga_id, 20))
    following = asyncio.create_task(_followed(other, saga_id))
    await until(lambda: other.held()["watches"])
    await rig.kill(owner)
    rig.world.gates["charge/action"].set()
    standing = await waiting
    assert standing is not None
    assert (standing.status, standing.result) == (SagaStatus.COMPLETED, ReserveResponse(reservation_id="r "))
    seqs = await following
    assert seqs == sorted(set(seqs))
    assert seqs[-1] == (await rig.stored(saga_id)).last_seq
    assert not other.held()["watches"]


async def test_an_end_that_comes_while_a_follower_is_busy_is_told(rig: Rig) -> None:
    node = await rig.node()
    saga_id = await _under_way(rig, node)
    growth = node.engine.follow(saga_id, 0)
    seen = await anext(growth)
    rig.world.gates["charge/action"].set()
    await node.ends(saga_id)  # before the next one is asked for
    last_seq = (await rig.stored(saga_id)).last_seq
    assert seen < last_seq
    assert [seq async for seq in growth] == [last_seq]


async def test_waiting_from_afar_costs_no_memory_and_ends_in_time(rig: Rig) -> None:
    owner, other = await rig.node(), await rig.node()
    saga_id = await _under_way(rig, owner)
    for node in (owner, other):
        standing = await node.engine.wait(saga_id, 0.05)
        assert standing is not None
        assert standing.status is SagaStatus.RUNNING
        assert await node.engine.wait(node.node_id, 0.05) is None, "no such saga"
        assert not node.held()["watches"]
    rig.world.gates["charge/action"].set()
    assert (await asyncio.gather(*(_followed(node, saga_id) for node in rig.nodes)))[0][-1] == 5
    view = await other.engine.view(saga_id)
    assert view is not None
    assert view.state is not None
    assert view.state.status is SagaStatus.COMPLETED


async def test_a_stuck_saga_ends_a_wait_with_what_made_it_so(rig: Rig) -> None:
    owner, other = await rig.node(), await rig.node()
    rig.world.answers["ship/action"] = REJECTED
    rig.world.answers["charge/compensation"] = REJECTED
    saga_id = await owner.start()
    for node in (owner, other):
        standing = await node.engine.wait(saga_id, 15)
        assert standing is not None
        assert (standing.status, standing.failed_step) == (SagaStatus.STUCK, "charge")
        assert standing.failure is not None
        assert standing.failure.reason == "OUT_OF_STOCK"


# ---- time ----


async def test_the_wall_clock_of_the_node_counts_for_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await rig.node()
    hours = [0]

    def jumping() -> float:
        hours[0] = -hours[0] + (1 if hours[0] <= 0 else 0)
        return 1_790_000_000.0 + hours[0] * 3600

    failed: Counter[str] = Counter()

    def fail_twice(seen: Seen) -> Answer:
        failed[seen.saga_id] += 1
        return UNAVAILABLE if failed[seen.saga_id] < 3 else Answer(0)

    rig.world.answers["charge/action"] = fail_twice
    monkeypatch.setattr(time, "time", jumping)
    saga_ids = [await node.start() for _ in range(5)]
    for saga_id in saga_ids:
        await node.ends(saga_id)
    monkeypatch.undo()
    assert set(failed.values()) == {3}
    off_s = await rig.db.fetchval("SELECT max(abs(extract(epoch FROM clock_timestamp() - at)))::float FROM saga_event")
    assert off_s < 60
    for saga_id in saga_ids:
        await rig.check_explained(saga_id)
