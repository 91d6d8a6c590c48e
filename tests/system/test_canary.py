"""A value of its own in every field of an order, looked for in all that leaves the processes.

``OPEN`` marks fields that operators may see, ``MARKED`` those that the contract calls personal or secret. Neither may
be in a log, a trace or a metric; the second in no view and in no error either.
"""

import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from commerce.v1.address_pb2 import Address
from commerce.v1.money_pb2 import Money
from inventory.v1.inventory_pb2 import ReceiveStockRequest, StockLine
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from orders.v1.orders_pb2 import OrderLine, PlaceOrderRequest
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED, SAGA_STATE_STUCK
from saga.v1.saga_service_pb2 import CancelSagaRequest, StartSagaRequest

from orchestrator.local.processes import Child
from orchestrator.local.stack import Member, StackSettings
from tests.fixtures.postgres import execute
from tests.fixtures.sagactl import sagactl
from tests.system.harness import CALL_TIMEOUT_S, LIVE, Shop, until

CANARY = "cnry7f3a"
OPEN = f"{CANARY}-open"
MARKED = f"{CANARY}_mark"
POSTAL_CODE = "CN7F 3AX"
"""Marked, too: a code that a British address may have, and nothing else."""
ANY = (CANARY, POSTAL_CODE)
HIDDEN = (MARKED, POSTAL_CODE)
PACKAGES = Path(__file__).with_name("packages")
WAREHOUSE = f"{OPEN}-wh"
SKU = f"{OPEN.upper()}-SKU"
FLUSH_S = 20.0

pytestmark = pytest.mark.timeout(240)


class Collector(grpc.GenericRpcHandler):
    """Takes whatever is exported over OTLP, as bytes: text stands in them as it is."""

    def __init__(self) -> None:
        self.taken: dict[str, list[bytes]] = {}

    def service(self, handler_call_details: Any) -> Any:
        """Any method."""
        kept = self.taken.setdefault(handler_call_details.method, [])

        async def take(request: bytes, _context: Any) -> bytes:
            kept.append(request)
            return b""

        return grpc.unary_unary_rpc_method_handler(take)

    def of(self, kind: str) -> str:
        """All of one kind: ``trace`` or ``metrics``."""
        found = [each for method, several in self.taken.items() if f".{kind}." in method for each in several]
        return b"\n".join(found).decode("utf-8", "replace")


@dataclass
class Stage:
    """The shop, what it tells others, and where it tells it."""

    shop: Shop
    collector: Collector
    metrics_url: str
    errors: list[str] = field(default_factory=list)
    numbers: int = 0

    @property
    def node(self) -> Member:
        return self.shop.stack.nodes[0]

    async def outputs(self) -> dict[str, str]:
        """Everything that leaves the processes for machines: add what is new here."""
        logs = {log.name: log.read_text() for log in (self.shop.stack.settings.directory / "log").iterdir()}
        async with httpx.AsyncClient(timeout=CALL_TIMEOUT_S) as client:
            scraped = (await client.get(self.metrics_url)).text
        return {
            **logs,
            "PostgreSQL's log": self.shop.stack.postgres.log.read_text(),
            "traces": self.collector.of("trace"),
            "metrics": self.collector.of("metrics"),
            "scraped metrics": scraped,
        }

    async def views(self, saga_id: str) -> dict[str, str]:
        """Everything that a person is shown of a saga."""
        address, found = self.node.address, {}
        for arguments in (
            ("get", saga_id, "--everything"),
            ("get", saga_id),
            ("explain", saga_id),
            ("list",),
            ("top",),
        ):
            for output in ("table", "json"):
                if arguments == ("top",):
                    continue
                done = await sagactl(address, *arguments, "--output", output, columns=400)
                assert done.exit_code == 0, done.output
                found[f"sagactl {arguments[0]} as {output}"] = done.output
        if (await self.shop.saga(self.node, saga_id)).state not in LIVE:
            for output in ("table", "json"):
                found[f"sagactl watch as {output}"] = (
                    await sagactl(address, "watch", saga_id, "--output", output)
                ).stdout
        async with httpx.AsyncClient(base_url=self.node.console, timeout=CALL_TIMEOUT_S) as client:
            for path in (f"/sagas/{saga_id}", f"/sagas/{saga_id}/act", "/sagas", "/"):
                found[f"console {path}"] = (await client.get(path)).text
        return found

    def order(self, customer: str, **changes: Any) -> PlaceOrderRequest:
        """An order with the canary everywhere; ``customer`` says what becomes of it."""
        self.numbers += 1
        order = PlaceOrderRequest(
            request_id=f"{OPEN}-request-{self.numbers}",
            order_id=f"{OPEN}-order-{self.numbers}",
            customer_id=f"{customer} {OPEN}",
            warehouse_id=WAREHOUSE,
            lines=[OrderLine(sku=SKU, quantity=1)],
            total=Money(currency_code="EUR", amount_minor=1990),
            payment_method=f"pm_{MARKED}",
            ship_to=Address(
                recipient=f"{MARKED} recipient",
                address_lines=[f"{MARKED} street", f"{MARKED} flat"],
                locality=f"{OPEN} town",
                postal_code=POSTAL_CODE,
                region_code="GB",
            ),
        )
        for name, value in changes.items():
            setattr(order, name, value)
        return order

    async def start(self, order: PlaceOrderRequest, definition: str = "place-order") -> str:
        request = StartSagaRequest(
            request_id=order.request_id, definition=definition, version=1, input=order.SerializeToString()
        )
        return (await self.shop.sagas_at(self.node).StartSaga(request, timeout=CALL_TIMEOUT_S)).saga.saga_id

    async def refused(self, call: Awaitable[Any]) -> str:
        """All that the caller is told of an error."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        told = f"{caught.value.details()} {list(caught.value.trailing_metadata() or ())} {caught.value}"
        self.errors.append(told)
        return told

    async def until(self, saga_id: str, condition: Callable[[Any], bool], what: str) -> None:
        await self.shop.until_all(self.node, [saga_id], condition, 40, what)


@pytest.fixture(scope="module")
def stack_settings() -> StackSettings:
    """The node comes once its talkative participant is there. Everything logs all that it can."""
    path = os.pathsep.join([str(PACKAGES), *map(os.path.abspath, filter(None, sys.path))])
    return StackSettings(
        nodes=0,
        console=True,
        node_environment={"PYTHONPATH": path, "ORCHESTRATOR_LOG_LEVEL": "debug"},
        participant_environment={"PYTHONPATH": path, "PARTICIPANT_LOG_LEVEL": "debug"},
    )


@pytest.fixture(scope="module")
async def stage(shop: Shop) -> AsyncIterator[Stage]:
    stack, collector = shop.stack, Collector()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([collector])
    endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    traced = {"TRACES_ENDPOINT": endpoint, "TRACES_RATIO": "1", "TRACES_INTERVAL_S": "0.2"}
    environment = {
        **stack.settings.participant_environment,
        **{f"PARTICIPANT_{name}": value for name, value in traced.items()},
        "PARTICIPANT_DATABASE_URL": stack.databases["payment"].url,
    }
    child = Child(
        "talkative", ["-m", "talkative.payments", "serve"], environment, stack.settings.directory / "log/talkative.log"
    )
    await stack.participants["payment"].child.stop(10)
    await child.start(60)
    stack.participants["payment"] = Member(child, f"127.0.0.1:{child.announcement['port']}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        scraped = f"127.0.0.1:{free.getsockname()[1]}"
    await shop.start_node(
        "node-1",
        {
            "ORCHESTRATOR_DEFINITIONS": json.dumps(["orchestrator.definitions.shipped", "talkative.sagas"]),
            "ORCHESTRATOR_METRICS_ADDRESS": scraped,
            "ORCHESTRATOR_METRICS_ENDPOINT": endpoint,
            "ORCHESTRATOR_METRICS_INTERVAL_S": "1",
            **{f"ORCHESTRATOR_{name}": value for name, value in traced.items()},
        },
    )
    # As the documentation tells users: PostgreSQL's own messages of errors quote what they could not read.
    quiet = "ALTER SYSTEM SET log_min_messages = log"
    await execute(stack.postgres.url(), quiet, "SELECT pg_reload_conf()")
    inventory = InventoryServiceStub(shop.channel(stack.participants["inventory"].address))
    stock = [StockLine(sku=SKU, quantity=1000)]
    receipt = ReceiveStockRequest(receipt_id=f"{OPEN}-receipt", warehouse_id=WAREHOUSE, lines=stock)
    await inventory.ReceiveStock(receipt, timeout=CALL_TIMEOUT_S)
    try:
        yield Stage(shop, collector, f"http://{scraped}/metrics")
    finally:
        await server.stop(None)


def found(texts: dict[str, str], words: tuple[str, ...]) -> list[str]:
    """Where the words are, and what stands around them."""
    return [
        f"{name}: …{text[max(0, place - 200) : place + 60]}…"
        for name, text in texts.items()
        for word in words
        if (place := text.lower().find(word.lower())) >= 0
    ]


async def test_good_orders_and_quoted_ones(stage: Stage) -> None:
    orders = stage.shop.orders_at(stage.node)
    placed = await orders.PlaceOrder(stage.order("pays"), timeout=CALL_TIMEOUT_S)
    assert placed.state == SAGA_STATE_COMPLETED
    quoting = stage.order("quotes")
    told = await stage.refused(orders.PlaceOrder(quoting, timeout=CALL_TIMEOUT_S))
    assert "[redacted] of quotes" in told
    assert OPEN in told, "what is not marked is the participant's to say"
    saga_id = await stage.start(stage.order("quotes"))
    await stage.until(saga_id, lambda saga: saga.state == SAGA_STATE_COMPENSATED, "compensated")
    await check_views(stage, saga_id, "[redacted] of quotes")
    await check_views(stage, placed.saga_id, "[redacted]")


async def test_a_reason_that_is_no_word(stage: Stage) -> None:
    saga_id = await stage.start(stage.order("reason"))
    await stage.until(saga_id, lambda saga: saga.state == SAGA_STATE_COMPENSATED, "compensated")
    assert (await stage.shop.saga(stage.node, saga_id)).failure.reason == "FAILED_PRECONDITION"


@pytest.mark.parametrize("how", ["raises", "queries", "busy"])
async def test_attempts_that_fail_until_an_operator_cancels(stage: Stage, how: str) -> None:
    saga_id = await stage.start(stage.order(how))
    await stage.until(saga_id, lambda saga: bool(saga.waiting_step), "waiting for another attempt")
    await check_views(stage, saga_id, "charge")
    request = CancelSagaRequest(saga_id=saga_id, request_id=f"{OPEN}-cancel-{how}")
    await stage.shop.sagas_at(stage.node).CancelSaga(request, timeout=CALL_TIMEOUT_S)
    await stage.until(saga_id, lambda saga: saga.state not in LIVE, "ended")


async def test_a_handler_that_forgets_a_task_and_logs_an_exception(stage: Stage) -> None:
    saga_id = await stage.start(stage.order("forgets"))
    await stage.until(saga_id, lambda saga: saga.state == SAGA_STATE_COMPLETED, "completed")


async def test_a_compensation_that_is_refused_gets_stuck(stage: Stage) -> None:
    order = stage.order("pays", order_id=f"{OPEN}-unrefundable")
    order.ship_to.region_code = "DE"  # where no postal code is written like this
    saga_id = await stage.start(order)
    await stage.until(saga_id, lambda saga: saga.state == SAGA_STATE_STUCK, "stuck")
    await check_views(stage, saga_id, "TOO_LATE")


async def test_builders_that_raise(stage: Stage) -> None:
    saga_id = await stage.start(stage.order("builder"), "talkative")
    await stage.until(saga_id, lambda saga: saga.state == SAGA_STATE_STUCK, "stuck")
    await check_views(stage, saga_id, "BUILDER_FAILED")
    told = await stage.refused(stage.start(stage.order("key"), "talkative"))
    assert not found({"error": told}, ANY)


async def test_bad_requests_quote_nothing_back(stage: Stage) -> None:
    orders = stage.shop.orders_at(stage.node)
    bad = [
        stage.order("pays", payment_method=f"4111 {MARKED}"),
        stage.order("pays", warehouse_id=f"{OPEN}" * 9),
        stage.order("pays", request_id=f"{OPEN}\0"),
        stage.order("pays", order_id=f"{OPEN}\0"),
        stage.order("pays", customer_id=OPEN * 300_000),
    ]
    bad[0].ship_to.recipient = MARKED * 100
    for order in bad:
        assert not found({"error": await stage.refused(orders.PlaceOrder(order, timeout=CALL_TIMEOUT_S))}, ANY)
    first = stage.order("pays")
    await orders.PlaceOrder(first, timeout=CALL_TIMEOUT_S)
    first.total.amount_minor += 1
    told = await stage.refused(orders.PlaceOrder(first, timeout=CALL_TIMEOUT_S))
    assert not found({"error": told}, ANY), "another payload under a request id that is taken"


async def test_errors_of_the_store(stage: Stage) -> None:
    database = stage.shop.stack.databases["orchestrator"]
    await execute(
        database.owner_url, "ALTER TABLE saga ADD CONSTRAINT canary CHECK (request_id NOT LIKE '%unstorable')"
    )
    told = await stage.refused(stage.start(stage.order("pays", request_id=f"{OPEN}-unstorable")))
    assert not found({"error": told}, ANY)
    await execute(
        stage.shop.stack.postgres.url(),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'orchestrator'",
    )
    order = stage.order("pays")

    async def started() -> bool:
        try:
            await stage.start(order)
        except grpc.aio.AioRpcError as error:
            stage.errors.append(f"{error.details()} {list(error.trailing_metadata() or ())}")
            return False
        return True

    await until(started, 30, "started after the connections were lost")


async def test_nothing_is_found_in_what_left_the_processes(stage: Stage) -> None:
    """The last of the module: it judges what the others have left behind."""
    good = await stage.start(stage.order("pays"))
    await stage.until(good, lambda saga: saga.state == SAGA_STATE_COMPLETED, "completed")

    async def exported() -> bool:
        return good in stage.collector.of("trace")

    await until(exported, FLUSH_S, "a trace of the last saga")
    outputs = await stage.outputs()
    assert not found(outputs, ANY)
    assert not found({f"error {number}": told for number, told in enumerate(stage.errors)}, HIDDEN)
    everything = "\n".join(outputs.values())
    for said in ("attempt_failed", "handler_failed", "unhandled_exception", "a library says so", "item_impossible"):
        assert said in everything, "or the test would look for nothing"
    for name in (
        "node-1.log",
        "talkative.log",
        "inventory.log",
        "shipping.log",
        "traces",
        "metrics",
        "scraped metrics",
    ):
        assert outputs[name].strip(), name


async def check_views(stage: Stage, saga_id: str, shown: str) -> None:
    views = await stage.views(saga_id)
    assert not found(views, HIDDEN)
    everything = "\n".join(views.values())
    assert shown in everything
    assert OPEN in everything, "operators do see what is not marked"
