"""2,000 orders while payment is down: what is stuck is found, explained, and repaired with one command.

``python -m orchestrator.local.repairs``; ``make demo-repair``. Exits with 0 if every sum holds, with 1 if one does not.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inventory.v1.inventory_pb2 import ReceiveStockRequest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb
from saga.v1.operator_pb2 import SagaQuery
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED, Saga

from orchestrator.local.conservation import Sum, read_reports, sums
from orchestrator.local.customer import Customer, Outcome
from orchestrator.local.demonstration import DemonstrationError, end_with
from orchestrator.local.operating import CALL_TIMEOUT_S, Operator
from orchestrator.local.orders import Order, load_orders, load_receipts
from orchestrator.local.shop import list_sagas, receive_stock
from orchestrator.local.stack import SERVICES, Stack, StackSettings, addresses, cancel_on_signals
from orchestrator.local.verdict import outcome_table, print_verdict

DIRECTORY: Final = Path("var/demo-repair")
ORDERS: Final = 2000
MIN_ORDERS: Final = 200
MAX_ORDERS: Final = 20_000
UNDER_WAY: Final = 0.1
"""Orders that are placed right before payment dies, as a share of those placed afterwards."""
ORDERS_AT_ONCE: Final = 48
RATE_PER_S: Final = 200
DEMO_TIMEOUT_S: Final = 300.0
SETTLE_TIMEOUT_S: Final = 120.0
END_TIMEOUT_S: Final = 150.0
PAYMENT: Final = SERVICES["payment"]
LIVE: Final = SagaQuery(live=True)
STUCK: Final = SagaQuery(attention=[operator_pb2.ATTENTION_KIND_STUCK])
BLOCKED: Final = SagaQuery(attention=[operator_pb2.ATTENTION_KIND_BLOCKED])
REASON: Final = "payment is back"
PROBES: Final = 16
"""Sagas that may be on their way to ask a silent participant again when all others stand still."""


def node_environment(orders: int) -> dict[str, str]:
    """As shipped, breakers open after 20 calls without an answer, and nearly every saga would wait, unharmed. Here they
    open late, so that as many sagas spend their few attempts as are worth a bulk, and only the others wait.
    """
    return {
        "ORCHESTRATOR_DEFINITIONS": '["orchestrator.definitions.shipped", "orchestrator.local.pay_on_dispatch"]',
        # A saga gives up after six calls, and a node has half of them: three an order, if its breaker stayed closed.
        "ORCHESTRATOR_BREAKER_MIN_CALLS": str(2 * orders),
        "ORCHESTRATOR_BREAKER_WINDOW_S": "60",
        # As shipped, payment's return may go unnoticed for half a minute, and what is blocked for a whole one.
        "ORCHESTRATOR_BREAKER_MAX_OPEN_S": "4",
        "ORCHESTRATOR_ATTENTION_BLOCKED_S": "2",
    }


def orders_and_goods(count: int) -> tuple[list[Order], list[ReceiveStockRequest]]:
    """The shipped orders again and again under other ids, and as often the deliveries that go with them."""
    orders: list[Order] = []
    receipts: list[ReceiveStockRequest] = []
    while len(orders) < count:
        copy = len(receipts)
        for each in load_orders()[: count - len(orders)]:
            each.request.order_id = each.request.request_id = f"{each.request.order_id}-{copy}"
            orders.append(Order(1, each.request, "pay-on-dispatch"))
        for receipt in load_receipts():
            receipt.receipt_id = f"{receipt.receipt_id}-{copy}"
            receipts.append(receipt)
    return orders, receipts


class Outage:
    """The demonstration, part by part; each says on the console what it does."""

    def __init__(self, stack: Stack, operator: Operator, console: Console) -> None:
        self.placed: dict[str, Order] = {}
        """By ``saga_id``."""
        self.found = 0
        """Sagas that were stuck when the operator looked."""
        self.waiting = 0
        """Sagas that were blocked then."""
        self._stack = stack
        self._operator = operator
        self._console = console
        self._began = time.monotonic()

    async def strike(self, orders: list[Order], before: int) -> None:
        """Places orders, kills payment under the first ``before`` of them, and places the others."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        customer = Customer([node.address for node in self._stack.nodes])
        try:
            with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as progress:
                bar = progress.add_task("orders", total=len(orders))
                await self._place(customer, orders[:before], lambda: progress.advance(bar))
                await self._stack.participants["payment"].child.kill()
                self._say(f"[bold red]kill -9[/] payment, with {before} orders under way. More orders come in.")
                await self._place(customer, orders[before:], lambda: progress.advance(bar))
        finally:
            await customer.close()
        self._say(f"{len(orders)} orders are stored. Payment is still away.")

    async def look(self) -> None:
        """Waits until the sagas stand still, and has the operator find out why."""
        operator = self._operator

        async def stands_still() -> bool:
            live = await operator.count(LIVE)
            self.found = await operator.count(STUCK)
            self.waiting = await operator.count(BLOCKED)
            return live - self.found - self.waiting <= PROBES

        await operator.until(stands_still, SETTLE_TIMEOUT_S, "the standstill that an outage ends in")
        self._say("Every order stands still. An operator is called.")
        await operator.types("stuck", "--causes")
        await operator.types("participants")
        await operator.types("stuck", "--attention", "stuck", "--limit", "5")
        request = pb.SearchSagasRequest(query=STUCK, page_size=1)
        page = await operator.service.SearchSagas(request, timeout=CALL_TIMEOUT_S)
        if not page.sagas:
            raise DemonstrationError("no saga is stuck: the outage was too kind; try more --orders")
        await operator.types("explain", page.sagas[0].saga.saga_id)
        await operator.types("bulk", "start", "retry", "--attention", "stuck", "--participant", PAYMENT, "--dry-run")

    async def repair(self) -> None:
        """Starts payment again, and repairs all that are stuck with one command."""
        operator = self._operator
        await self._stack.start_participant("payment")
        self._say("Payment is back. What only waited for it goes on by itself once the breakers have tried it.")
        await operator.until(
            lambda: operator.closed_breakers(PAYMENT), END_TIMEOUT_S, "the closing of payment's breakers"
        )
        self._say("Payment is called again as always.")
        self.found = await operator.count(STUCK)
        await operator.types(
            *("bulk", "start", "retry", "--attention", "stuck", "--participant", PAYMENT),
            *("--rate-per-s", str(RATE_PER_S), "--reason", REASON, "--yes"),
        )

        async def all_ended() -> bool:
            return await operator.count(LIVE) == await operator.count(STUCK)

        await operator.until(all_ended, END_TIMEOUT_S, "the end of every saga")
        self._say("Every order has ended.")
        await operator.types("stuck", "--causes")
        await operator.types("audit")

    async def _place(self, customer: Customer, orders: list[Order], placed: Callable[[], None]) -> None:
        """Returns once each is stored; ``ORDERS_AT_ONCE`` at a time."""
        room = asyncio.Semaphore(ORDERS_AT_ONCE)

        async def place(order: Order, node: str) -> None:
            async with room:
                self.placed[await customer.start(order, node)] = order
            placed()

        async with asyncio.TaskGroup() as group:
            for number, order in enumerate(orders):
                group.create_task(place(order, self._stack.nodes[number % len(self._stack.nodes)].address))

    def _say(self, text: str) -> None:
        self._console.print()
        self._console.print(f"[dim]{time.monotonic() - self._began:.1f} s[/] {text}", soft_wrap=True)


async def audit_sums(operator: Operator, outage: Outage) -> list[Sum]:
    """One entry for the whole repair, and each of its members told with it."""
    listed = await operator.service.ListAudit(pb.ListAuditRequest(), timeout=CALL_TIMEOUT_S)
    bulk_id = listed.entries[0].bulk_id if listed.entries else ""
    bulk = (await operator.service.GetBulk(pb.GetBulkRequest(bulk_id=bulk_id), timeout=CALL_TIMEOUT_S)).bulk
    members = await operator.members(bulk_id)
    granted = [each for each in members if each.outcome == operator_pb2.AUDIT_OUTCOME_GRANTED]
    return [
        Sum("entries in the audit log", 1, len(listed.entries)),
        Sum("stuck sagas, and members of its bulk", outage.found, listed.entries[0].members if listed.entries else 0),
        Sum("members that were granted", outage.found, bulk.granted),
        Sum("members that are told one by one", outage.found, len({each.saga_id for each in granted})),
        Sum("some were stuck, others only waited", 1, int(outage.found > 0 and outage.waiting > 0)),
    ]


def saga_sums(outcomes: list[Outcome], sagas: list[Saga], orders: int) -> list[Sum]:
    """Every order has its saga, and every saga an honest end (I6, I7, I8)."""
    states = Counter(saga.state for saga in sagas)
    ended = (states[SAGA_STATE_COMPLETED], states[SAGA_STATE_COMPENSATED])
    return [
        Sum("orders that have a saga", orders, len(outcomes)),
        Sum("sagas in the store", orders, len(sagas)),
        Sum("sagas under way, stuck or resolved by hand", 0, len(sagas) - sum(ended)),
        Sum("both completed and compensated", 1, int(all(ended))),
    ]


async def run(console: Console, directory: Path, count: int) -> bool:
    """The whole demonstration in a fresh ``directory``; True if every sum holds."""
    cancel_on_signals()
    started = time.monotonic()
    before = max(1, int(count * UNDER_WAY))
    orders, receipts = orders_and_goods(before + count)
    settings = StackSettings(directory=directory, nodes=2, node_environment=node_environment(count))
    async with asyncio.timeout(DEMO_TIMEOUT_S), Stack(settings) as stack:
        console.print(addresses(stack))
        where = {name: member.address for name, member in stack.participants.items()}
        await receive_stock(where["inventory"], receipts)
        operator = Operator(console, [node.address for node in stack.nodes])
        try:
            outage = Outage(stack, operator, console)
            await outage.strike(orders, before)
            await outage.look()
            await outage.repair()
            checked = await audit_sums(operator, outage)
        finally:
            await operator.close()
        sagas = await list_sagas(stack.nodes[0].address)
        reports = await read_reports(where)
    outcomes = [
        Outcome(outage.placed[saga.saga_id], saga.state, saga.saga_id, saga.failed_step, saga.failure.reason, 1, 0.0)
        for saga in sagas
        if saga.saga_id in outage.placed
    ]
    console.print()
    console.print(outcome_table(outcomes))
    checked = saga_sums(outcomes, sagas, len(orders)) + checked + sums(outcomes, receipts, reports)
    return print_verdict(console, checked, time.monotonic() - started)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.local.repairs", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help=f"emptied first (default: {DIRECTORY})")
    parser.add_argument("--orders", type=int, default=ORDERS, help=f"placed while payment is away (default: {ORDERS})")
    arguments = parser.parse_args()
    if not MIN_ORDERS <= arguments.orders <= MAX_ORDERS:
        parser.error(f"--orders must be {MIN_ORDERS} to {MAX_ORDERS}")
    console = Console()
    end_with(run(console, arguments.directory, arguments.orders), console, arguments.directory)


if __name__ == "__main__":
    main()
