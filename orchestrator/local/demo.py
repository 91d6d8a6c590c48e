"""Two nodes, three participants, 300 orders, one kill -9: and every piece and cent accounted for.

``python -m orchestrator.local.demo``; ``make demo``. Exits with 0 if every invariant held, with 1 if one did not.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from orchestrator.local.conservation import read_reports, sums
from orchestrator.local.customer import Customer, Outcome
from orchestrator.local.demonstration import end_with
from orchestrator.local.orders import Order, load_orders, load_receipts
from orchestrator.local.shop import list_sagas, receive_stock
from orchestrator.local.stack import Stack, StackSettings, addresses, cancel_on_signals
from orchestrator.local.verdict import outcome_table, print_verdict, saga_sums, takeover_caption

DIRECTORY: Final = Path("var/demo")
ORDERS_AT_ONCE: Final = 48
KILL_AFTER: Final = 0.4
"""Share of the orders that have ended when a node is killed."""
DEMO_TIMEOUT_S: Final = 150.0
REPORT_EVERY: Final = 50


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
    table = outcome_table(floor.outcomes)
    table.caption = takeover_caption(floor.outcomes, sagas)
    console.print(table)
    return print_verdict(console, checked, time.monotonic() - started)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.local.demo", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help=f"emptied first (default: {DIRECTORY})")
    directory: Path = parser.parse_args().directory
    console = Console()
    end_with(run(console, directory), console, directory)


if __name__ == "__main__":
    main()
