"""Payment is away while orders come in; what waits is found, explained and repaired with one bulk action."""

import os
import time
from typing import Any

import pytest
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED

from orchestrator.local.stack import StackSettings
from tests.system.harness import CALL_TIMEOUT_S, Shop, log_lines, report, until

ORDERS = int(os.environ.get("REPAIR_ORDERS", "200"))
"""The promise is made for 2,000: REPAIR_ORDERS=2000 plays that."""
PAYMENT = "payment.v1.PaymentService"

pytestmark = pytest.mark.timeout(120 + ORDERS / 5)


@pytest.fixture(scope="module")
def stack_settings() -> StackSettings:
    """Blocks count as too long at once, and blocked steps do not try again before an operator acts."""
    environment = {"ORCHESTRATOR_ATTENTION_BLOCKED_S": "1", "ORCHESTRATOR_BLOCKED_RETRY_S": "600"}
    return StackSettings(node_environment=environment)


async def test_many_sagas_are_found_explained_and_repaired_at_once(shop: Shop) -> None:
    first, second = await shop.two_nodes()
    operators: Any = SagaOperatorServiceStub(shop.channel(second.address))
    hold = pb.HoldParticipantRequest(request_id="hold", service=PAYMENT, reason="the bank is away")
    await operators.HoldParticipant(hold, timeout=CALL_TIMEOUT_S)

    async def until_logged(event: str) -> None:
        async def everywhere() -> bool:
            return all(any(line["event"] == event for line in log_lines(node.child)) for node in (first, second))

        await until(everywhere, 10, f"{event} on both nodes")

    await until_logged("participant_held")
    saga_ids = await shop.start(first, shop.new_orders(ORDERS, versions=(2,), faults=("",)))
    query = op.SagaQuery(attention=[op.ATTENTION_KIND_BLOCKED], participant=PAYMENT)

    async def are_found() -> bool:
        count = await operators.CountSagas(pb.CountSagasRequest(query=query), timeout=CALL_TIMEOUT_S)
        return bool(count.sagas == ORDERS)

    await until(are_found, 30 + ORDERS / 20, f"{ORDERS} sagas blocked")
    explained = await operators.ExplainSaga(pb.ExplainSagaRequest(saga_id=saga_ids[0]), timeout=CALL_TIMEOUT_S)
    assert any("the bank is away" in cause for cause in explained.explanation.causes)
    release = pb.ReleaseParticipantRequest(request_id="release", service=PAYMENT, reason="it is back")
    await operators.ReleaseParticipant(release, timeout=CALL_TIMEOUT_S)
    await until_logged("participant_released")
    start = pb.StartBulkRequest(
        request_id="repair", query=query, action=op.BulkAction(action=op.OPERATOR_ACTION_RETRY), reason="it is back"
    )
    start.rate_per_s = 500.0
    began = time.monotonic()
    bulk = (await operators.StartBulk(start, timeout=CALL_TIMEOUT_S)).bulk
    stream = operators.WatchBulk(pb.WatchBulkRequest(bulk_id=bulk.bulk_id), timeout=60 + ORDERS / 5)
    *_, done = [progress.bulk async for progress in stream]
    assert (done.state, done.granted + done.refused) == (op.BULK_STATE_DONE, done.members)
    ends = await shop.until_ended(second, saga_ids, 60 + ORDERS / 10)
    report(f"{ORDERS} blocked sagas repaired in bulk ({done.granted} granted)", time.monotonic() - began)
    assert ends == {SAGA_STATE_COMPLETED: ORDERS}
    await shop.check_sums(first)
