"""A console before a node with a policy, and browsers that sign in to it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc
import httpx
from saga.v1 import operator_pb2 as op
from starlette.types import ASGIApp

from orchestrator.console.app import create_app
from orchestrator.console.settings import ConsoleSettings
from tests.console.bearer import Bearers, KnowingStandIn
from tests.fixtures.operator_service import serve_operator
from tests.unit.console.conftest import OWN_PAGE, TEMPLATES

PLAIN: Final = "http://127.0.0.1:7280"
TLS: Final = "https://console.example"
BULK_ID: Final = "0192f3a0-0000-7000-b000-000000000001"
FORM_TOKEN: Final = re.compile(r'name="form_token" value="([^"]*)"')


@dataclass
class Clock:
    """Seconds that pass when they are told to; wall clock and monotonic in one, ``start`` apart."""

    passed_s: float = 0.0
    start_s: float = 0.0

    def __call__(self) -> float:
        return self.start_s + self.passed_s


@dataclass(frozen=True)
class House:
    """The console, the node behind it, and the clock of sessions."""

    app: ASGIApp
    service: KnowingStandIn
    bearers: Bearers
    clock: Clock

    def browser(self, base_url: str = PLAIN, client: tuple[str, int] = ("127.0.0.1", 1)) -> httpx.AsyncClient:
        """A browser with cookies of its own, whose posts are those of the console's own pages."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=client), base_url=base_url, headers=OWN_PAGE
        )

    async def enter(self, name: str, base_url: str = PLAIN) -> httpx.AsyncClient:
        """A browser whose user has signed in."""
        browser = self.browser(base_url)
        answer = await sign_in(browser, self.bearers.named(name).token)
        assert answer.status_code == 303, answer.text
        self.bearers.called.clear()
        return browser


@asynccontextmanager
async def open_house(settings: ConsoleSettings) -> AsyncIterator[House]:
    """Serves the node behind it on a free port."""
    service, bearers, clock = KnowingStandIn(), Bearers(), Clock()
    service.bulks[BULK_ID] = op.Bulk(bulk_id=BULK_ID, state=op.BULK_STATE_RUNNING, members=4)
    async with (
        serve_operator(service, first=[bearers]) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        app = create_app(channel, settings, monotonic=clock, templates=TEMPLATES)
        yield House(app, service, bearers, clock)


async def sign_in(browser: httpx.AsyncClient, token: str, then: str = "") -> httpx.Response:
    return await browser.post("/sign-in", data={"token": token, "next": then})


async def form_token(browser: httpx.AsyncClient, page: str = "/nodes") -> str:
    """What stands in the forms of this browser's pages; any with a session has one, to sign out."""
    found = FORM_TOKEN.search((await browser.get(page)).text)
    assert found
    return found[1]
