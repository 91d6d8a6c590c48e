"""Every page with the keyboard alone, on a phone, in the dark, and judged by axe."""

from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from tests.console.conftest import Site
from tests.console.scenery import BACK_ID, HOSTILE_ID, PAYMENT, RUNNING_ID, STUCK_ID

AXE: Final = Path(__file__).parent / "vendor" / "axe.min.js"
PAGES: Final = (
    "/",
    "/sagas?attention=STUCK",
    f"/sagas/{STUCK_ID}",
    f"/sagas/{BACK_ID}",
    f"/sagas/{RUNNING_ID}",
    f"/sagas/{HOSTILE_ID}",
    f"/sagas/{STUCK_ID}/act?action=SKIP_STEP&step=confirm_reservation",
    f"/sagas/{STUCK_ID}/act?action=FORCE_COMPENSATION",
    "/bulks",
    "/bulks/new?attention=STUCK&action=RETRY",
    "/participants",
    f"/participants/hold?service={PAYMENT}",
    "/nodes",
    "/definitions",
    "/audit",
    "/nope",
)
FOCUSABLE: Final = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
QUICK: Final = {"resultTypes": ["violations"], "preload": False}
RULES: Final = {
    "light": {**QUICK, "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "dark": {**QUICK, "runOnly": {"type": "rule", "values": ["color-contrast"]}},
}


async def _open_everything(page: Page) -> None:
    # But the plots' tables, whose many like rows take axe long.
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = !one.closest('.plot')")


@pytest.mark.parametrize("scheme", list(RULES))
async def test_axe_finds_nothing(site: Site, scheme: str) -> None:
    page = await site.open("/", color_scheme=scheme)
    # Put there by the browser, not as a script of the page: its policy would refuse that.
    await page.context.add_init_script(path=AXE)
    await page.context.add_init_script("localStorage.setItem('console.paused', 'yes')")
    found: list[str] = []
    for path in PAGES if scheme == "light" else PAGES[:8]:
        await page.goto(path)
        await _open_everything(page)
        result = await page.evaluate("(options) => axe.run(document, options)", RULES[scheme])
        found += [
            f"{path} {each['id']}: {node['html'][:200]}" for each in result["violations"] for node in each["nodes"][:3]
        ]
    assert not found, "\n".join(found)


async def test_nothing_is_wider_than_a_phone(site: Site) -> None:
    page = await site.open("/", **PHONE)
    wide: list[str] = []
    for path in PAGES:
        await page.goto(path)
        await _open_everything(page)
        width = await page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["viewport"]["width"]:
            wide.append(f"{path}: {width}")
        if await page.evaluate(
            "[...document.querySelectorAll('main p, main td')].some((one) => one.scrollWidth > 360)"
        ):
            wide.append(f"{path}: text beyond its box")
    assert not wide


async def test_the_dark_is_dark(site: Site) -> None:
    page = await site.open("/", color_scheme="dark")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 24)"
    await expect(page.locator(".uplot canvas")).to_have_count(3)
    await page.emulate_media(color_scheme="light")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(244, 245, 247)"
    await expect(page.locator(".uplot canvas")).to_have_count(3)


async def test_a_retry_by_keyboard_alone(site: Site) -> None:
    page = await site.open(f"/sagas/{STUCK_ID}")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await _tab_to(page, "Retry confirm_reservation")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Why")).to_be_focused()
    await page.keyboard.type("by keyboard")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("see below what comes of it")).to_be_visible()
    assert site.service.audit[0].reason == "by keyboard"


async def _tab_to(page: Page, name: str) -> None:
    """Each stop on the way shows that it has the focus."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        text, outline = await page.evaluate(
            "[document.activeElement.innerText || '', getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline != "none", text
        if text.startswith(name):
            return
    raise AssertionError(f"{name} is not reached")


@pytest.mark.parametrize("path", ["/", "/bulks/new?attention=STUCK&action=RETRY"])
async def test_the_keyboard_passes_through(site: Site, path: str) -> None:
    page = await site.open(path)
    await page.get_by_role("heading", level=2).first.wait_for()
    count = await page.evaluate(
        "(all) => [...document.querySelectorAll(all)].filter((one) => one.checkVisibility()).length", FOCUSABLE
    )
    seen: set[str] = set()
    for _ in range(count + 10):
        await page.keyboard.press("Tab")
        seen.add(await page.evaluate("document.activeElement.outerHTML.slice(0, 200)"))
        if await page.evaluate("document.activeElement === document.body"):
            break
    else:
        raise AssertionError("the focus never leaves the page")
    assert len(seen) > count // 2


async def test_without_scripts_everything_can_be_read_and_done(site: Site) -> None:
    page = await site.open(f"/sagas/{STUCK_ID}", java_script_enabled=False)
    await page.get_by_role("link", name="Resolve").click()
    await page.get_by_label("Why").fill("refunded by hand")
    await page.get_by_role("button", name="Resolve now").click()
    await expect(page.get_by_text("see below what comes of it")).to_be_visible()
