"""The console before the stand-in, looked at with Debian's Chromium."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, async_playwright

from orchestrator.console.server import ConsoleServer
from orchestrator.console.settings import ConsoleSettings
from tests.console.bearer import Bearers, KnowingStandIn
from tests.console.standin import FullStandIn
from tests.fixtures.operator_service import serve_operator

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS: Final = 10_000
REFRESH_S: Final = 0.2
"""How often the pages look again: brisk, so that the tests are."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where the console is, and what stands behind it."""

    url: str
    service: FullStandIn
    browser: Browser

    async def open(self, path: str = "/", **options: Any) -> Page:
        """A page in a profile of its own; it fails the test if a script fails or the policy is broken."""
        context = await self.browser.new_context(base_url=self.url, **options)
        context.set_default_timeout(WAIT_MS)
        page = watch(await context.new_page())
        await page.goto(path)
        return page


def watch(page: Page) -> Page:
    """Notes in :data:`FAILURES` what goes wrong in it."""
    page.on("pageerror", _fail)
    page.on("console", _judge)
    return page


def _fail(error: Exception) -> None:
    FAILURES.append(str(error))


def _judge(message: Any) -> None:
    # What the browser and htmx say of answers that are errors on purpose is no failure of the page.
    if message.type in {"error", "warning"} and not message.text.startswith(("Failed to load resource", "htmx:")):
        FAILURES.append(message.text)


FAILURES: Final[list[str]] = []


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium (or run .ci/packages)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
async def site(chromium: Browser) -> AsyncIterator[Site]:
    FAILURES.clear()
    service = FullStandIn()
    async with serve_operator(service) as address:
        server = ConsoleServer("127.0.0.1:0", ConsoleSettings(refresh_s=REFRESH_S))
        yield Site(await server.start(address), service, chromium)
        for context in list(chromium.contexts):
            await context.close()
        await server.stop()
    assert not FAILURES, FAILURES


@pytest.fixture
async def guarded(chromium: Browser) -> AsyncIterator[tuple[Site, Bearers]]:
    """The same before a node that asks who its callers are."""
    FAILURES.clear()
    service, bearers = KnowingStandIn(), Bearers()
    async with serve_operator(service, first=[bearers]) as address:
        server = ConsoleServer("127.0.0.1:0", ConsoleSettings(refresh_s=REFRESH_S, sign_in=True))
        yield Site(await server.start(address), service, chromium), bearers
        for context in list(chromium.contexts):
            await context.close()
        await server.stop()
    assert not FAILURES, FAILURES
