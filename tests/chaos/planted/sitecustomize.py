"""Runs at the start of a child process whose PYTHONPATH names this folder; plants the defect that ``PLANTED`` names.

The checker must catch every one of these. None is in shipped code.
"""

import os
from dataclasses import replace
from typing import Any


def drop_epoch_check() -> None:
    """The barrier takes calls of older epochs."""
    from participants.kit import barrier

    for name in ("judge_action", "judge_compensation", "judge_settle"):
        judge = getattr(barrier, name)

        def blind(row: Any, epoch: int, *rest: Any, judge: Any = judge) -> Any:
            return judge(replace(row, epoch=min(row.epoch, epoch)), epoch, *rest)

        setattr(barrier, name, blind)


def drop_tombstone() -> None:
    """An undo without a do leaves nothing behind."""
    from participants.kit import barrier, store

    insert_or_lock = store.insert_or_lock

    class Forgetful:
        def __init__(self, store_: Any) -> None:
            self._store = store_

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def insert_or_lock(self, connection: Any, step: Any) -> Any:
            row = await insert_or_lock(connection, step)
            if row is None:
                await connection.execute("ROLLBACK; BEGIN")
            return row

    barrier.__dict__["store"] = Forgetful(store)


def drop_fence() -> None:
    """A node that was declared dead may still write."""
    from orchestrator.storage import journal

    journal.COMMIT = journal.COMMIT.replace(  # type: ignore[misc]  # a defect
        "WHERE node_id = $1 AND fenced_at IS NULL FOR KEY SHARE", "WHERE node_id = $1 FOR KEY SHARE"
    )


def drop_write_ahead() -> None:
    """What depends on a result begins before the result is durable."""
    from orchestrator.engine.run import SagaRun

    def release_effects(self: Any) -> None:
        while self._held and not self.dropped:
            _, effects = self._held.popleft()
            for effect in effects:
                self._host.carry_out(self, effect)

    SagaRun.release_effects = release_effects  # type: ignore[method-assign]  # a defect


def drop_reverse_order() -> None:
    """Steps are undone in any order."""
    from orchestrator.core import plan
    from orchestrator.core.state import StepStatus

    def may_be_undone(_spec: Any, state: Any, index: int) -> bool:
        return state.steps[index].status is StepStatus.COMPENSATING and state.steps[index].in_flight is None

    plan.__dict__["may_be_undone"] = may_be_undone


def drop_payload_hash() -> None:
    """The same key is answered whatever it asks for."""
    from participants.kit import barrier

    judge = barrier.__dict__["judge_action"]
    barrier.__dict__["judge_action"] = lambda row, epoch, asked: judge(row, epoch, row.request_hash or asked)


if os.environ.get("PLANTED"):
    globals()["drop_" + os.environ["PLANTED"]]()
