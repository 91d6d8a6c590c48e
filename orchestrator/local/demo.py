"""Two nodes, three participants, 300 orders, one kill -9: and every piece and cent accounted for.

``python -m orchestrator.local.demo``. Exits with 0 if every invariant held, with 1 if one did not.
"""

import asyncio
import fcntl
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from inventory.v1.inventory_pb2 import ReceiveStockRequest
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED, SAGA_STATE_STUCK, Saga
from saga.v1.saga_service_pb2 import ListSagasRequest
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from orchestrator.local.conservation import Sum, read_reports, sums
from orchestrator.local.customer import Customer, Outcome
from orchestrator.local.orders import Order, load_orders, load_receipts
from orchestrator.local.stack import Stack, StackSettings, addresses, cancel_on_signals

DIRECTORY: Final = Path("var/demo")
ORDERS_AT_ONCE: Final = 48
KILL_AFTER: Final = 0.4
"""Share of the orders that have ended when a node is killed."""
CALL_TIMEOUT_S: Final = 20.0
DEMO_TIMEOUT_S: Final = 150.0
REPORT_EVERY: Final = 50
PAGE_SIZE: Final = 500


@dataclass(frozen=True, slots=True)
class Killing:
    """One kill -9: whom, after how many ended orders, and how many calls it cut off."""

    name: str
    ended: int
    cut_off: int


class Floor:
    """The orders under way: who has ended, and when to kill."""

    def __init__(self, stack: Stack, orders: list[Order], progress: Progress) -> None:
        self.outcomes: list[Outcome] = []
        self.killing: Killing | None = None
        self._stack = stack
        self._orders = orders
        self._customer = Customer([node.address for node in stack.nodes])
        self._progress = progress
        self._bar = progress.add_task("orders", total=len(orders))
        self._ended = asyncio.Condition()

    async def run(self) -> None:
        """Places all orders, ``ORDERS_AT_ONCE`` at a time, and kills the first node on the way."""
        room = asyncio.Semaphore(ORDERS_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._kill_on_the_way())
                for number, order in enumerate(self._orders):
                    await room.acquire()
                    node = self._stack.nodes[number % len(self._stack.nodes)]
                    group.create_task(self._place(order, node.address, room))
        finally:
            await self._customer.close()

    async def _place(self, order: Order, node: str, room: asyncio.Semaphore) -> None:
        try:
            outcome = await self._customer.place(order, node)
        finally:
            room.release()
        async with self._ended:
            self.outcomes.append(outcome)
            self._ended.notify_all()
        self._progress.advance(self._bar)
        if not self._progress.console.is_terminal and len(self.outcomes) % REPORT_EVERY == 0:
            self._progress.console.print(f"{len(self.outcomes)} of {len(self._orders)} orders have ended")

    async def _kill_on_the_way(self) -> None:
        victim = self._stack.nodes[0]

        def ripe() -> bool:
            busy = self._customer.in_flight[victim.address] >= ORDERS_AT_ONCE // 8
            return busy and len(self.outcomes) >= KILL_AFTER * len(self._orders)

        async with self._ended:
            await self._ended.wait_for(lambda: ripe() or len(self.outcomes) == len(self._orders))
            if not ripe():
                return
            self.killing = Killing(victim.child.name, len(self.outcomes), self._customer.in_flight[victim.address])
            await victim.child.kill()
        self._progress.console.print(
            f"[bold red]kill -9[/] {self.killing.name} after {self.killing.ended} orders, "
            f"with {self.killing.cut_off} calls waiting for it"
        )


async def receive_stock(address: str, receipts: list[ReceiveStockRequest]) -> None:
    """Books the deliveries at the inventory."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = InventoryServiceStub(channel)
        for receipt in receipts:
            await stub.ReceiveStock(receipt, timeout=CALL_TIMEOUT_S)


async def list_sagas(address: str) -> list[Saga]:
    """All sagas that the store holds."""
    found: list[Saga] = []
    request = ListSagasRequest(page_size=PAGE_SIZE)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = SagaServiceStub(channel)
        while True:
            page = await stub.ListSagas(request, timeout=CALL_TIMEOUT_S)
            found.extend(page.sagas)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


def faults(outcomes: list[Outcome], orders: list[Order], sagas: list[Saga], killing: Killing | None) -> list[Sum]:
    """What must hold of the sagas themselves, and proof that the run was no walk in the park (I7, I8, I10)."""
    states = Counter(saga.state for saga in sagas)
    ends = {outcome.saga_id: outcome.state for outcome in outcomes}
    taken_over = sum((saga.epoch & 0xFFFFFFFF) > 1 for saga in sagas)
    return [
        Sum("orders that have ended", len(orders), len(outcomes)),
        Sum("sagas in the store", len(orders), len(sagas)),
        Sum("sagas stored otherwise than answered", 0, sum(ends.get(saga.saga_id) != saga.state for saga in sagas)),
        Sum("sagas under way or stuck", 0, len(sagas) - states[SAGA_STATE_COMPLETED] - states[SAGA_STATE_COMPENSATED]),
        Sum(
            "both completed and compensated",
            1,
            int(all(states[s] for s in (SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED))),
        ),
        Sum("a node was killed and its sagas taken over", 1, int(killing is not None and taken_over > 0)),
    ]


def outcome_table(outcomes: list[Outcome], sagas: list[Saga]) -> Table:
    """What became of the orders, by end and reason."""
    table = Table(title="What became of the orders", title_justify="left")
    for heading in ("end", "failed step", "reason"):
        table.add_column(heading)
    table.add_column("v1", justify="right")
    table.add_column("v2", justify="right")
    rows: dict[tuple[str, str, str], Counter[int]] = {("completed", "", ""): Counter()}
    names = {SAGA_STATE_COMPLETED: "completed", SAGA_STATE_COMPENSATED: "compensated", SAGA_STATE_STUCK: "stuck"}
    for outcome in sorted(outcomes, key=lambda each: (each.failed_step, each.reason)):
        key = (names[outcome.state], outcome.failed_step, outcome.reason)
        rows.setdefault(key, Counter())[outcome.order.version] += 1
    rows.setdefault(("stuck", "", ""), Counter())
    for (end, step, reason), versions in rows.items():
        table.add_row(end, step, reason, str(versions[1]), str(versions[2]))
    taken_over = sum((saga.epoch & 0xFFFFFFFF) > 1 for saga in sagas)
    asked_again = sum(outcome.calls > 1 for outcome in outcomes)
    slowest_s = max((outcome.latency_s for outcome in outcomes), default=0.0)
    table.caption = (
        f"{taken_over} sagas taken over by the surviving node, {asked_again} orders asked for again under the same "
        f"request_id, slowest order {slowest_s:.1f} s"
    )
    return table


def sum_table(checked: list[Sum]) -> Table:
    """Each number that must be right, and whether it is."""
    table = Table(title="What must hold", title_justify="left")
    table.add_column("sum")
    table.add_column("expected", justify="right")
    table.add_column("counted", justify="right")
    table.add_column("")
    for each in checked:
        table.add_row(
            each.name, f"{each.expected}", f"{each.counted}", "[green]ok[/]" if each.holds else "[bold red]WRONG[/]"
        )
    return table


async def run(console: Console, directory: Path) -> bool:
    """The whole demonstration in a fresh ``directory``; True if every invariant held."""
    cancel_on_signals()
    started = time.monotonic()
    orders, receipts = load_orders(), load_receipts()
    async with asyncio.timeout(DEMO_TIMEOUT_S), Stack(StackSettings(directory=directory, nodes=2)) as stack:
        console.print(addresses(stack))
        where = {name: member.address for name, member in stack.participants.items()}
        await receive_stock(where["inventory"], receipts)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            floor = Floor(stack, orders, progress)
            await floor.run()
        sagas = await list_sagas(stack.nodes[-1].address)
        reports = await read_reports(where)
    checked = faults(floor.outcomes, orders, sagas, floor.killing) + sums(floor.outcomes, receipts, reports)
    console.print(outcome_table(floor.outcomes, sagas))
    console.print(sum_table(checked))
    wrong = [each for each in checked if not each.holds]
    verdict = f"[bold red]{len(wrong)} sums are wrong[/]" if wrong else "[bold green]Everything is accounted for[/]"
    console.print(f"{verdict}, {time.monotonic() - started:.1f} s after the start.")
    return not wrong


@contextmanager
def fresh(directory: Path) -> Iterator[None]:
    """Empties the demonstration's own directory, which one run at a time may use. Raises ``BlockingIOError``."""
    directory.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)
        directory.mkdir()
        yield


def main() -> None:
    """The command."""
    console = Console()
    try:
        with fresh(DIRECTORY):
            held = asyncio.run(run(console, DIRECTORY))
    except BlockingIOError:
        console.print(f"Another demo runs in {DIRECTORY}: wait for it or end it.")
        sys.exit(1)
    except (asyncio.CancelledError, KeyboardInterrupt):
        console.print("Ended before it was done.")
        sys.exit(130)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
