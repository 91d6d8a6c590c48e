"""How fast operators' questions are answered over a full database, asked at a node as sagactl and the console ask."""

import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import grpc
from google.protobuf.duration_pb2 import Duration
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_pb2
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub

from benchmarks.load import percentile
from benchmarks.scale.ground import Node

TIMEOUT_S: Final = 30.0
WARM_UP: Final = 5
MOST_P99_MS: Final = 100.0
"""Tens of milliseconds."""
SAMPLE: Final = 200
SEED: Final = 7

_WAITING: Final = (op.ATTENTION_KIND_BLOCKED, op.ATTENTION_KIND_OVERDUE, op.ATTENTION_KIND_SILENT)

Ask = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Answered:
    """One kind of question, in milliseconds as the asker sees them."""

    name: str
    asked: int
    p50_ms: float
    p99_ms: float

    @property
    def holds(self) -> bool:
        """Whether it was answered in tens of milliseconds."""
        return self.p99_ms < MOST_P99_MS


def _queries() -> Iterator[tuple[str, op.SagaQuery]]:
    day = Duration(seconds=86_400)
    yield "the newest", op.SagaQuery()
    yield "live ones", op.SagaQuery(live=True)
    yield "stuck ones", op.SagaQuery(attention=[op.ATTENTION_KIND_STUCK])
    yield "those that need attention, by kind", op.SagaQuery(attention=_WAITING)
    yield (
        "completed ones of a definition",
        op.SagaQuery(definition="place-order", version=1, states=[saga_pb2.SAGA_STATE_COMPLETED]),
    )
    yield "compensated ones (there are none)", op.SagaQuery(states=[saga_pb2.SAGA_STATE_COMPENSATED])
    yield "older than a day", op.SagaQuery(min_age=day)
    yield "live ones at a participant", op.SagaQuery(live=True, participant="payment.v1.PaymentService")
    yield "a concurrency key", op.SagaQuery(concurrency_key="ENDED-500000")
    yield "a request id", op.SagaQuery(request_id="ENDED-500000")


async def ask(node: Node, database: asyncpg.Connection, times: int) -> list[Answered]:
    """Asks each question ``times`` times, one after the other. Raises ``grpc.RpcError``."""
    ids = [
        str(row["saga_id"])
        for row in await database.fetch(f"SELECT saga_id FROM saga TABLESAMPLE SYSTEM (0.1) LIMIT {SAMPLE}")  # noqa: S608
    ]
    chosen = random.Random(SEED)  # noqa: S311  (the same sagas each time)
    found = []
    async with grpc.aio.insecure_channel(node.address) as channel:
        stub: Any = SagaOperatorServiceStub(channel)

        def searching(query: op.SagaQuery, token: str = "") -> Ask:
            return lambda: stub.SearchSagas(pb.SearchSagasRequest(query=query, page_token=token), timeout=TIMEOUT_S)

        def counting(query: op.SagaQuery) -> Ask:
            return lambda: stub.CountSagas(pb.CountSagasRequest(query=query), timeout=TIMEOUT_S)

        for name, query in _queries():
            found.append(await _answered(f"list: {name}", searching(query), times))
            found.append(await _answered(f"count: {name}", counting(query), times))
        token = ""
        for _ in range(20):
            token = (await searching(op.SagaQuery(), token)()).next_page_token
        found.append(await _answered("list: the twentieth page", searching(op.SagaQuery(), token), times))
        found.append(
            await _answered(
                "explain: any saga",
                lambda: stub.ExplainSaga(pb.ExplainSagaRequest(saga_id=chosen.choice(ids)), timeout=TIMEOUT_S),
                times,
            )
        )
        found.append(
            await _answered(
                "everything about any saga",
                lambda: stub.GetSagaDetails(pb.GetSagaDetailsRequest(saga_id=chosen.choice(ids)), timeout=TIMEOUT_S),
                times,
            )
        )
        found.append(
            await _answered(
                "overview of an hour", lambda: stub.GetOverview(pb.GetOverviewRequest(), timeout=TIMEOUT_S), times
            )
        )
    return found


async def _answered(name: str, question: Ask, times: int) -> Answered:
    for _ in range(WARM_UP):
        await question()
    taken: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        await question()
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    return Answered(name, times, percentile(taken, 0.5), percentile(taken, 0.99))
