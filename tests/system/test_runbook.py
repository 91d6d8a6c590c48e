"""Every command of docs/runbook.md, run in the situation that its section is about, on a real stack."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
import pytest
from saga.v1 import saga_pb2
from saga.v1.operator_service_pb2 import ListBulksRequest, ListNodesRequest
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub
from saga.v1.saga_service_pb2 import StartSagaRequest

from orchestrator.cli.sagactl.exits import ExitCode
from orchestrator.local.stack import StackSettings
from tests.fixtures.postgres import connect
from tests.fixtures.runbook import as_typed, sections
from tests.fixtures.sagactl import sagactl
from tests.system.harness import CALL_TIMEOUT_S, Shop, until
from tests.system.orders import new_request

PACKAGES: Final = Path(__file__).with_name("packages")
PAYMENT: Final = "payment.v1.PaymentService"
STUCK: Final = saga_pb2.SAGA_STATE_STUCK
FOLLOWED: Final[set[str]] = set()

TestT = TypeVar("TestT", bound=Callable[..., Any])

pytestmark = pytest.mark.timeout(180)


def follows(*titles: str) -> Callable[[TestT], TestT]:
    """Names the sections that a test goes through."""

    def mark(test: TestT) -> TestT:
        FOLLOWED.update(titles)
        return test

    return mark


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file breaks the builder of its name."""
    return tmp_path_factory.mktemp("broken")


@pytest.fixture(scope="module")
def stack_settings(broken: Path) -> StackSettings:
    """Two nodes with the definition that can be broken, and short leases."""
    return StackSettings(
        node_environment={
            "PYTHONPATH": os.pathsep.join([str(PACKAGES), *map(os.path.abspath, filter(None, sys.path))]),
            "BROKEN_DIRECTORY": str(broken),
            "ORCHESTRATOR_DEFINITIONS": '["orchestrator.definitions.shipped", "repairs.mending"]',
            "ORCHESTRATOR_ATTENTION_BLOCKED_S": "1",
            "ORCHESTRATOR_LEASE_TTL_S": "2",
            "ORCHESTRATOR_RENEW_INTERVAL_S": "0.5",
            "ORCHESTRATOR_STATEMENT_TIMEOUT_S": "1",
            "ORCHESTRATOR_COMMAND_TIMEOUT_S": "1.5",
        }
    )


class Page:
    """One section of the runbook, command by command."""

    def __init__(self, title: str, address: str) -> None:
        self.title, self.address = title, address
        self.left = sections()[title]

    async def run(self, count: int | None = None, *, code: int = 0, **names: str) -> str:
        """Runs the next commands, or all that are left; returns what the last one printed."""
        shown = ""
        for _ in range(len(self.left) if count is None else count):
            words = self.left.pop(0)
            result = await sagactl(self.address, *as_typed(words, **names))
            assert result.exit_code == code, f"{self.title}: {' '.join(words)}\n{result.output}"
            shown = result.stdout
        return shown


class Operator:
    """Breaks sagas and looks at them."""

    def __init__(self, shop: Shop, broken: Path) -> None:
        self.shop, self._broken, self._number = shop, broken, 0

    @property
    def address(self) -> str:
        """A node that lives."""
        return self.shop.live_nodes[0].address

    def page(self, title: str) -> Page:
        return Page(title, self.address)

    def break_(self, what: str) -> None:
        (self._broken / what).touch()

    def mend(self, what: str) -> None:
        (self._broken / what).unlink(missing_ok=True)

    async def start(self, what: str = "", fault: str = "") -> str:
        """A saga whose builder of that name raises while it is broken."""
        self._number += 1
        request = new_request(900_000 + self._number, fault)
        request.customer_id = what or "CUS-1"
        start = StartSagaRequest(
            request_id=request.request_id, definition="mend", input=request.SerializeToString(deterministic=True)
        )
        node = self.shop.live_nodes[0]
        return (await self.shop.sagas_at(node).StartSaga(start, timeout=CALL_TIMEOUT_S)).saga.saga_id

    async def state(self, saga_id: str) -> saga_pb2.Saga:
        return await self.shop.saga(self.shop.live_nodes[0], saga_id)

    async def until_state(self, saga_id: str, *states: saga_pb2.SagaState.ValueType) -> None:
        async def there() -> bool:
            return (await self.state(saga_id)).state in states

        await until(there, 20, f"saga {saga_id} in {[saga_pb2.SagaState.Name(state) for state in states]}")

    async def until_blocked(self, saga_id: str) -> None:
        async def there() -> bool:
            return bool((await self.state(saga_id)).blocked_reason)

        await until(there, 20, f"saga {saga_id} blocked")

    async def stuck(self, what: str, fault: str = "") -> str:
        """A saga that is stuck for a builder that raises."""
        self.break_(what)
        saga_id = await self.start(what, fault)
        await self.until_state(saga_id, STUCK)
        return saga_id

    async def blocked(self) -> str:
        """A saga that waits for a participant on hold."""
        assert (await sagactl(self.address, "participants", "hold", PAYMENT, "-r", "test", "-y")).exit_code == 0
        saga_id = await self.start()
        await self.until_blocked(saga_id)
        return saga_id

    async def release(self) -> None:
        assert (await sagactl(self.address, "participants", "release", PAYMENT, "-r", "test", "-y")).exit_code == 0

    def service(self) -> Any:
        return SagaOperatorServiceStub(self.shop.channel(self.address))


@pytest.fixture(scope="module")
async def operator(shop: Shop, broken: Path) -> Operator:
    """The one who follows the runbook."""
    return Operator(shop, broken)


@follows("The first minute", "Stuck")
async def test_looking(operator: Operator) -> None:
    saga_id = await operator.stuck("notify_carrier")
    await operator.page("The first minute").run(SAGA_ID=saga_id)
    shown = await operator.page("Stuck").run(2, SAGA_ID=saga_id)
    assert "sagactl retry" in shown
    assert "sagactl skip" in shown
    await operator.page("Stuck").run(SAGA_ID=saga_id)


@follows("Retry")
async def test_retry(operator: Operator) -> None:
    saga_id = await operator.stuck("notify_carrier")
    page = operator.page("Retry")
    operator.mend("notify_carrier")
    await page.run(3, SAGA_ID=saga_id)
    assert (await operator.state(saga_id)).state == saga_pb2.SAGA_STATE_COMPLETED
    backward = await operator.stuck("release", "undeliverable")
    operator.mend("release")
    await page.run(SAGA_ID=backward)
    await operator.until_state(backward, saga_pb2.SAGA_STATE_COMPENSATED)


@follows("Skip")
async def test_skip(operator: Operator) -> None:
    saga_id = await operator.stuck("notify_carrier")
    page = operator.page("Skip")
    await page.run(2, SAGA_ID=saga_id)
    await operator.until_state(saga_id, saga_pb2.SAGA_STATE_COMPLETED)
    backward = await operator.stuck("release", "undeliverable")
    await page.run(SAGA_ID=backward)
    await operator.until_state(backward, saga_pb2.SAGA_STATE_RESOLVED)


@follows("Compensate", "Resolve")
async def test_compensate_and_resolve(operator: Operator) -> None:
    saga_id = await operator.stuck("charge")
    await operator.page("Compensate").run(SAGA_ID=saga_id)
    await operator.until_state(saga_id, saga_pb2.SAGA_STATE_COMPENSATED)
    past_pivot = await operator.stuck("notify_carrier")
    refused = await sagactl(operator.address, "compensate", past_pivot, "--dry-run")
    assert refused.exit_code == ExitCode.REFUSED
    assert "PAST_PIVOT" in refused.stderr
    await operator.page("Resolve").run(SAGA_ID=past_pivot)
    await operator.until_state(past_pivot, saga_pb2.SAGA_STATE_RESOLVED)


@follows("Blocked", "Held", "Definition missing", "Overdue")
async def test_blocked(operator: Operator) -> None:
    saga_id = await operator.blocked()

    async def is_shown() -> bool:
        return "PARTICIPANT_HELD" in (await sagactl(operator.address, "stuck", "--causes")).stdout

    await until(is_shown, 20, "shown as blocked")
    assert "PARTICIPANT_HELD" in await operator.page("Blocked").run(1)
    assert "held" in await operator.page("Blocked").run(2)
    assert saga_id in await operator.page("Blocked").run(SAGA_ID=saga_id)
    await operator.page("Definition missing").run()
    await operator.page("Overdue").run(SAGA_ID=saga_id)
    await operator.until_blocked(saga_id)
    await operator.page("Held").run()
    await operator.until_state(saga_id, saga_pb2.SAGA_STATE_COMPLETED)


@follows("Paused and forgotten")
async def test_paused(operator: Operator) -> None:
    saga_id = await operator.blocked()
    assert (await sagactl(operator.address, "pause", saga_id, "-r", "test", "-y")).exit_code == 0
    await operator.release()
    await operator.page("Paused and forgotten").run(SAGA_ID=saga_id)
    await operator.until_state(saga_id, saga_pb2.SAGA_STATE_COMPLETED)


@follows("Thousands at once", "Afterwards")
async def test_bulk(operator: Operator) -> None:
    saga_ids = [await operator.stuck("charge") for _ in range(12)]
    page = operator.page("Thousands at once")
    assert "12 sagas" in await page.run(1)
    await page.run(1)
    operator.mend("charge")
    await page.run(1)
    for saga_id in saga_ids:
        await operator.until_state(saga_id, saga_pb2.SAGA_STATE_COMPLETED)
    done = (await operator.service().ListBulks(ListBulksRequest(), timeout=CALL_TIMEOUT_S)).bulks[0]
    assert (done.members, done.granted, done.refused) == (12, 12, 0)
    await page.run(3, BULK_ID=done.bulk_id)
    for _ in range(3):
        await operator.stuck("charge")
    slow = ("bulk", "start", "retry", "--attention", "stuck", "--rate-per-s", "0.01", "-r", "test", "-y", "--detach")
    assert (await sagactl(operator.address, *slow)).exit_code == 0
    running = (await operator.service().ListBulks(ListBulksRequest(), timeout=CALL_TIMEOUT_S)).bulks[0]
    await page.run(BULK_ID=running.bulk_id)
    operator.mend("charge")
    shown = await operator.page("Afterwards").run(1)
    assert "payment is back" in shown
    await operator.page("Afterwards").run(SAGA_ID=saga_ids[0])


@follows("Silent", "Node dead")
async def test_nodes(operator: Operator) -> None:
    first, second = await operator.shop.two_nodes()
    saga_id = await operator.stuck("notify_carrier")
    nodes = (await operator.service().ListNodes(ListNodesRequest(), timeout=CALL_TIMEOUT_S)).nodes
    other = next(node for node in nodes if node.alive and not node.answering)
    await operator.page("Silent").run(SAGA_ID=saga_id, NODE_ID=other.node_id)
    await second.child.kill()
    await Page("Node dead", first.address).run()
    await operator.shop.two_nodes()


@follows("Database away")
async def test_database_away(operator: Operator) -> None:
    operator.shop.stack.postgres.kill()
    away = await sagactl(operator.address, "nodes", "--timeout-s", "10")
    assert away.exit_code == ExitCode.NO_ANSWER
    assert "STORE_UNAVAILABLE" in away.stderr
    operator.shop.stack.postgres.restart()

    async def back() -> bool:
        return (await sagactl(operator.address, "nodes")).exit_code == 0

    await until(back, 30, "back")
    await operator.page("Database away").run()


@follows("Failover that lost commits")
async def test_failover(operator: Operator) -> None:
    page = operator.page("Failover that lost commits")
    connection = await connect(operator.shop.stack.databases["orchestrator"].owner_url)
    try:
        after = before = await connection.fetchval("SELECT incarnation FROM store_incarnation")
        for _ in range(2):
            program, database, option, statement = page.left.pop(0)
            assert (program, database, option) == ("psql", "$DATABASE_URL", "-c")
            after = await connection.fetchval(statement)
        assert after == before + 1
    finally:
        await connection.close()
    started: list[str] = []

    async def starts() -> bool:
        try:
            started.append(await operator.start())
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        return bool(started)

    await until(starts, 30, "serving again, each node under a new lease")
    await operator.until_state(started[0], saga_pb2.SAGA_STATE_COMPLETED)
    await page.run()


def test_every_section_is_followed() -> None:
    assert set(sections()) == FOLLOWED
