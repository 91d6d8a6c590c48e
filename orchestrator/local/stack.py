"""The whole system on one machine: embedded PostgreSQL, three participants and any number of nodes.

``python -m orchestrator.local.stack`` keeps it up until SIGINT or SIGTERM; its data stays in ``--directory``.
"""

import argparse
import asyncio
import fcntl
import json
import signal
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.table import Table

from orchestrator.local.databases import Database, provide
from orchestrator.local.health import wait_until_serving
from orchestrator.local.postgres import EmbeddedPostgres, PostgresStartError
from orchestrator.local.processes import Child, ChildError

SERVICES: Final = {
    "inventory": "inventory.v1.InventoryService",
    "payment": "payment.v1.PaymentService",
    "shipping": "shipping.v1.ShippingService",
}
"""The participants that come with the orchestrator, by package name, and the service that each serves."""


class StackRunsError(Exception):
    """Two stacks cannot share a directory: the first one's end would take the database from the other."""


@dataclass(frozen=True, slots=True)
class StackSettings:
    """``directory`` holds data and logs. The environments are added to those of the nodes and the participants."""

    directory: Path = Path("var")
    nodes: int = 2
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 20.0
    end_with_process: bool = True
    console: bool = False
    node_environment: Mapping[str, str] = field(default_factory=dict)
    participant_environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Member:
    """A child process that serves gRPC, and where; ``console`` is the URL of its web page, if it has one."""

    child: Child
    address: str
    console: str = ""


class Stack:
    """Started and stopped as one; an asynchronous context manager. Use it from the main thread."""

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self.postgres = EmbeddedPostgres(
            settings.directory / "postgres", listen_port=0, end_with_process=settings.end_with_process
        )
        self.databases: dict[str, Database] = {}
        self.participants: dict[str, Member] = {}
        self.nodes: list[Member] = []

    async def start(self) -> None:
        """Returns once everything serves. Raises ``ChildError``, ``PostgresStartError`` or ``TimeoutError``."""
        self.postgres.start()
        for chain in ("orchestrator", *SERVICES):
            self.databases[chain] = await provide(self.postgres, chain)
        await self._all(*(self.start_participant(name) for name in SERVICES))
        await self._all(*(self.start_node(f"node-{number + 1}") for number in range(self.settings.nodes)))

    async def start_participant(self, name: str) -> Member:
        """Starts a participant, at its former address if it had one, so that the nodes find it again."""
        former = self.participants.get(name)
        environment = {
            **self.settings.participant_environment,
            "PARTICIPANT_DATABASE_URL": self.databases[name].url,
            "PARTICIPANT_LISTEN_ADDRESS": former.address if former else "127.0.0.1:0",
        }
        child = self._child(name, ["-m", f"participants.{name}", "serve"], environment)
        member = Member(child, "")
        self.participants[name] = member
        await child.start(self.settings.start_timeout_s)
        member.address = f"127.0.0.1:{child.announcement['port']}"
        await child.until(wait_until_serving(member.address, self.settings.start_timeout_s))
        return member

    async def start_node(self, name: str) -> Member:
        """Starts one more orchestrator node; ``name`` names its log."""
        targets = {service: [self.participants[participant].address] for participant, service in SERVICES.items()}
        environment = {
            **self.settings.node_environment,
            "DATABASE_URL": self.databases["orchestrator"].url,
            "ORCHESTRATOR_DATABASE_URL": self.databases["orchestrator"].url,
            "ORCHESTRATOR_NODE_NAME": name,
            "ORCHESTRATOR_LISTEN_ADDRESS": "127.0.0.1:0",
            "ORCHESTRATOR_CONSOLE_ADDRESS": "127.0.0.1:0" if self.settings.console else "",
            "ORCHESTRATOR_PARTICIPANTS": json.dumps(targets),
        }
        child = self._child(name, ["-m", "orchestrator.cli.server", "serve"], environment)
        member = Member(child, "")
        self.nodes.append(member)
        await child.start(self.settings.start_timeout_s)
        member.address = str(child.announcement["address"])
        member.console = str(child.announcement.get("console", ""))
        await child.until(wait_until_serving(member.address, self.settings.start_timeout_s))
        return member

    async def stop(self) -> None:
        """Ends nodes, then participants, then PostgreSQL; each the hard way if it does not end in time."""
        timeout_s = self.settings.stop_timeout_s
        try:
            await asyncio.gather(*(node.child.stop(timeout_s) for node in self.nodes))
            await asyncio.gather(*(participant.child.stop(timeout_s) for participant in self.participants.values()))
        finally:
            self.postgres.stop()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _child(self, name: str, arguments: list[str], environment: dict[str, str]) -> Child:
        return Child(name, arguments, environment, self.settings.directory / "log" / f"{name}.log")

    async def _all(self, *starts: Coroutine[Any, Any, Member]) -> None:
        """Waits for all of them; the first failure ends the others and is raised."""
        try:
            async with asyncio.TaskGroup() as group:
                for start in starts:
                    group.create_task(start)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures


def cancel_on_signals() -> None:
    """Lets SIGTERM and SIGINT cancel the running task, so that its context managers end what they started."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def addresses(stack: Stack) -> Table:
    """Who serves where."""
    table = Table(title="The stack is up", title_justify="left")
    for heading in ("process", "address", "log"):
        table.add_column(heading)
    for member in (*stack.nodes, *stack.participants.values()):
        table.add_row(member.child.name, member.address, str(member.child.log))
    table.add_row("postgres", str(stack.postgres.directory), str(stack.postgres.log))
    return table


async def keep_up(settings: StackSettings, console: Console) -> None:
    """Runs a stack until the task is cancelled. Raises ``StackRunsError`` if one runs in the directory already."""
    settings.directory.mkdir(parents=True, exist_ok=True)
    with (settings.directory / "stack.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"a stack is up in {settings.directory} already; end that one, or give another --directory"
            raise StackRunsError(text) from None
        await _keep_up(settings, console)


async def _keep_up(settings: StackSettings, console: Console) -> None:
    cancel_on_signals()
    with suppress(asyncio.CancelledError):
        async with Stack(settings) as stack:
            console.print(addresses(stack))
            console.print("For operators: " + " or ".join(node.console for node in stack.nodes), soft_wrap=True)
            console.print("Without TLS and without a policy it serves this machine alone. Ctrl-C ends it.")
            await asyncio.Event().wait()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.local.stack", description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path("var"), help="data and logs (default: var)")
    parser.add_argument("--nodes", type=int, default=2, help="orchestrator nodes (default: 2)")
    arguments = parser.parse_args()
    try:
        asyncio.run(
            keep_up(StackSettings(directory=arguments.directory, nodes=arguments.nodes, console=True), Console())
        )
    except (StackRunsError, ChildError, PostgresStartError, OSError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
