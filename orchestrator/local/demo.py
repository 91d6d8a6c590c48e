"""Two nodes, three participants, 300 orders, one kill -9: and every piece and cent accounted for.

``python -m orchestrator.local.demo``; ``make demo``. Exits with 0 if every invariant held, with 1 if one did not.
"""

import argparse
import asyncio
import fcntl
import shutil
import sys
import time
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
from saga.v1.saga_pb2 import Saga
from saga.v1.saga_service_pb2 import ListSagasRequest
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from orchestrator.local.conservation import read_reports, sums
from orchestrator.local.customer import Customer, Outcome
from orchestrator.local.orders import Order, load_orders, load_receipts
from orchestrator.local.postgres import PostgresStartError
from orchestrator.local.processes import ChildError
from orchestrator.local.stack import Stack, StackSettings, addresses, cancel_on_signals
from orchestrator.local.verdict import outcome_table, saga_sums, sum_table

DIRECTORY: Final = Path("var/demo")
MARK: Final = ".demo"
"""Says that a directory is the demonstration's own, to be emptied."""
ORDERS_AT_ONCE: Final = 48
KILL_AFTER: Final = 0.4
"""Share of the orders that have ended when a node is killed."""
CALL_TIMEOUT_S: Final = 20.0
DEMO_TIMEOUT_S: Final = 150.0
REPORT_EVERY: Final = 50
PAGE_SIZE: Final = 500


class DirectoryInUseError(Exception):
    """The directory is not free for a demonstration; the message says what to do."""


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
    killed = floor.killing is not None
    checked = saga_sums(floor.outcomes, sagas, orders=len(orders), killed=killed)
    checked += sums(floor.outcomes, receipts, reports)
    console.print(outcome_table(floor.outcomes, sagas))
    console.print(sum_table(checked))
    wrong = [each for each in checked if not each.holds]
    verdict = f"[bold red]{len(wrong)} sums are wrong[/]" if wrong else "[bold green]Everything is accounted for[/]"
    console.print(f"{verdict}, {time.monotonic() - started:.1f} s after the start.")
    return not wrong


@contextmanager
def fresh(directory: Path) -> Iterator[None]:
    """Empties the demonstration's own directory, which one run at a time may use.

    Raises ``DirectoryInUseError`` for one that another run uses, or that holds what no run has left there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()) and not (directory / MARK).exists():
        raise DirectoryInUseError(f"{directory} holds other files: name an empty directory")
    with directory.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUseError(f"another demo runs in {directory}: wait for it or end it") from None
        shutil.rmtree(directory)
        directory.mkdir()
        (directory / MARK).touch()
        yield


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.local.demo", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help=f"emptied first (default: {DIRECTORY})")
    directory: Path = parser.parse_args().directory
    console = Console()
    try:
        with fresh(directory):
            held = asyncio.run(run(console, directory))
    except (DirectoryInUseError, ChildError, PostgresStartError, TimeoutError) as error:
        console.print(f"[bold red]The demo failed:[/] {str(error) or 'it took too long'}")
        sys.exit(1)
    except (asyncio.CancelledError, KeyboardInterrupt):
        console.print("Ended before it was done.")
        sys.exit(130)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
