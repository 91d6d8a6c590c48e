"""Group commit: what a batch writes, and what each guard refuses."""

from dataclasses import replace

import pytest

from orchestrator.engine.stored import Batch, NewSaga
from orchestrator.storage.rows import batch_columns
from tests.integration.storage.sagas import World, checkpoint, entry, next_saga_id, row


async def test_a_broken_rule_is_raised_without_the_row_and_the_writer_goes_on(world: World) -> None:
    node = await world.node()
    negative = replace(world.new(), epoch=-1, input=b"secret")
    with pytest.raises(ValueError, match=r"CheckViolationError.*saga_counters") as raised:
        await world.store.commit(node, Batch(new=(negative,)))
    assert "secret" not in str(raised.value)
    assert "Failing row" not in str(raised.value)
    assert len(await world.start(node)) == 1


async def test_a_large_batch_is_written_whole(world: World) -> None:
    node = await world.node()
    sagas = await world.start(node, 300)
    items = tuple(checkpoint(saga, 3, count=2) for saga in sagas)
    assert len(await world.store.commit(node, Batch(checkpoints=items, new=(world.new(),)))) == 301
    assert await world.db.fetchval("SELECT count(*) FROM saga_event") == 901


def test_entries_must_follow_each_other() -> None:
    gap = NewSaga(next_saga_id(), 1, "local", "r-1", b"", None, b"", 1, row(), (entry(2, 1),))
    with pytest.raises(ValueError, match="does not follow"):
        batch_columns(Batch(new=(gap,)))
