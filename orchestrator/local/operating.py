"""An operator at a terminal: types ``sagactl``, shows what it answers, and waits for what it should come to."""

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import grpc
from rich.console import Console
from saga.v1 import operator_pb2
from saga.v1 import operator_service_pb2 as pb
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub

from orchestrator.local.demonstration import DemonstrationError
from orchestrator.local.postgres import LAUNCHER

CALL_TIMEOUT_S: Final = 20.0
COMMAND_TIMEOUT_S: Final = 90.0
PAGE_SIZE: Final = 1000
POLL_S: Final = 0.5


class Operator:
    """Sees everything through one node, as ``sagactl`` does, and each node's breakers through all of them."""

    def __init__(self, console: Console, addresses: list[str]) -> None:
        self._console = console
        self._addresses = addresses
        self._channels = [grpc.aio.insecure_channel(address) for address in addresses]
        self.service = SagaOperatorServiceStub(self._channels[0])

    async def close(self) -> None:
        """Closes the channels."""
        for channel in self._channels:
            await channel.close()

    async def types(self, *words: str) -> None:
        """Runs ``sagactl`` with these words, in sight. Raises ``DemonstrationError`` if it does not exit with 0."""
        self._console.print()
        self._console.print(
            f"$ sagactl {shlex.join(words)}", style="bold cyan", markup=False, highlight=False, soft_wrap=True
        )
        sys.stdout.flush()
        # It must not outlive this process either, which a signal may end at any time.
        launch = [sys.executable, "-IS", LAUNCHER, str(os.getpid()), str(int(signal.SIGKILL)), ""]
        process = await asyncio.create_subprocess_exec(
            *launch,
            *(sys.executable, "-m", "orchestrator.cli.sagactl", *words),
            stdin=asyncio.subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "SAGACTL_ADDRESS": self._addresses[0],
            },
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                code = await process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if code:
            raise DemonstrationError(f"sagactl {words[0]} ended with exit code {code}")

    async def count(self, query: operator_pb2.SagaQuery) -> int:
        """How many sagas match."""
        request = pb.CountSagasRequest(query=query)
        return int((await self.service.CountSagas(request, timeout=CALL_TIMEOUT_S)).sagas)

    async def members(self, bulk_id: str) -> list[operator_pb2.BulkMember]:
        """All members of a bulk."""
        found: list[operator_pb2.BulkMember] = []
        request = pb.ListBulkMembersRequest(bulk_id=bulk_id, page_size=PAGE_SIZE)
        while True:
            page = await self.service.ListBulkMembers(request, timeout=CALL_TIMEOUT_S)
            found.extend(page.members)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def closed_breakers(self, service: str) -> bool:
        """Whether every node calls the participant ``service`` again as always."""
        for channel in self._channels:
            stub = SagaOperatorServiceStub(channel)
            seen = await stub.ListParticipants(pb.ListParticipantsRequest(), timeout=CALL_TIMEOUT_S)
            for status in seen.participants:
                if status.service == service and status.breaker != operator_pb2.BREAKER_STATE_CLOSED:
                    return False
        return True

    async def until(self, condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
        """Asks until it holds. Raises ``DemonstrationError`` saying ``what`` did not come."""
        deadline = time.monotonic() + timeout_s
        while not await condition():
            if time.monotonic() > deadline:
                raise DemonstrationError(f"{what} did not come within {timeout_s:g} s")
            await asyncio.sleep(POLL_S)
