"""The console of a real node, from a saga that is really stuck to its end."""

import os
import sys
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, expect
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED

from orchestrator.local.stack import StackSettings
from tests.console.conftest import FAILURES, WAIT_MS, watch
from tests.system.conftest import shop  # noqa: F401  (a fixture)
from tests.system.harness import Shop
from tests.system.test_runbook import Operator

PACKAGES: Final = Path(__file__).parents[1] / "system" / "packages"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file breaks the builder of its name."""
    return tmp_path_factory.mktemp("broken")


@pytest.fixture(scope="module")
def stack_settings(broken: Path) -> StackSettings:
    """One node with a console and the definition that can be broken."""
    return StackSettings(
        nodes=1,
        console=True,
        node_environment={
            "PYTHONPATH": os.pathsep.join([str(PACKAGES), *map(os.path.abspath, filter(None, sys.path))]),
            "BROKEN_DIRECTORY": str(broken),
            "ORCHESTRATOR_DEFINITIONS": '["orchestrator.definitions.shipped", "repairs.mending"]',
        },
    )


async def test_sagas_that_are_stuck_are_found_explained_and_repaired(
    shop: Shop,  # noqa: F811  (the fixture)
    broken: Path,
    chromium: Browser,
) -> None:
    FAILURES.clear()
    operator = Operator(shop, broken)
    first, *others = [await operator.stuck("charge") for _ in range(4)]
    context = await chromium.new_context(base_url=shop.live_nodes[0].console)
    context.set_default_timeout(WAIT_MS)
    page = watch(await context.new_page())

    await page.goto("/")
    await page.get_by_role("row", name="charge").get_by_role("link", name="Explain one").click()
    await expect(page.get_by_text("BUILDER_FAILED").first).to_be_visible()
    await page.goto(f"/sagas/{first}")
    await page.get_by_role("link", name="Retry charge").click()
    await expect(page.get_by_text("PaymentService/Charge")).to_be_visible()
    operator.mend("charge")
    await page.get_by_label("Why").fill("the definition is mended")
    await page.get_by_role("button", name="Retry now").click()
    await expect(page.get_by_text("see below what comes of it")).to_be_visible()
    await expect(page.locator(".head").get_by_text("completed")).to_be_visible()
    await expect(page.get_by_role("cell", name="the definition is mended")).to_be_visible()

    await page.goto("/")
    await page.get_by_role("row", name="charge").get_by_role("link", name="Repair all").click()
    await page.get_by_role("radio", name="retry Try").check()
    await page.get_by_role("button", name="Dry run").click()
    await page.get_by_label("Why").fill("the definition is mended")
    await page.get_by_role("button", name="Retry 3 sagas").click()
    await expect(page.get_by_role("status").filter(has_text="100 %")).to_be_visible()
    for saga_id in others:
        await operator.until_state(saga_id, SAGA_STATE_COMPLETED)
    await page.goto("/")
    await expect(page.get_by_text("Nothing. Every saga is getting on by itself.")).to_be_visible()
    for path in ("/participants", "/nodes", "/definitions", "/audit", "/bulks"):
        await page.goto(path)
        await expect(page.get_by_role("table")).to_have_count(1)
    await context.close()
    assert not FAILURES, FAILURES
