"""Coming in, acting under one's own name, and going out, in a real browser."""

from typing import Final

import pytest
from playwright.async_api import Page, expect

from tests.console.bearer import Bearers
from tests.console.conftest import Site
from tests.console.scenery import STUCK_ID
from tests.console.test_access import AXE, PHONE, RULES

RETRY: Final = f"/sagas/{STUCK_ID}/act?action=RETRY&step=confirm_reservation"


async def _enter(page: Page, token: str) -> None:
    await expect(page.get_by_label("Token")).to_be_focused()
    await page.keyboard.type(token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def test_somebody_signs_in_acts_and_signs_out(guarded: tuple[Site, Bearers]) -> None:
    site, bearers = guarded
    page = await site.open(RETRY)
    await _enter(page, bearers.named("olga").token)
    await expect(page.get_by_text("InventoryService/ConfirmReservation")).to_be_visible()  # where it was going
    await page.get_by_label("Why").fill("the hold was renewed")
    await page.get_by_role("button", name="Retry now").click()
    await expect(page.get_by_text("see below what comes of it")).to_be_visible()
    assert [entry.reason for entry in site.service.audit] == ["the hold was renewed"]
    (cookie,) = await page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("session", True, "Strict")
    assert await page.evaluate("document.cookie") == ""
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You have signed out.")).to_be_visible()
    assert await page.context.cookies() == []
    await page.go_back()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert {name for name, _ in bearers.called} == {"olga"}


async def test_an_open_page_whose_token_ends_leads_to_the_sign_in_and_back(guarded: tuple[Site, Bearers]) -> None:
    site, bearers = guarded
    page = await site.open("/nodes")
    olga = bearers.named("olga")
    await _enter(page, olga.token)
    await expect(page.get_by_role("heading", name="Nodes")).to_be_visible()
    del bearers.known[olga.token]
    await expect(page.get_by_text("The node no longer accepts your token")).to_be_visible()
    bearers.known["renewed.token"] = olga
    await _enter(page, "renewed.token")
    await expect(page.get_by_role("heading", name="Nodes")).to_be_visible()


async def test_a_link_on_another_site_leads_to_the_page(guarded: tuple[Site, Bearers]) -> None:
    site, bearers = guarded
    page = await site.open("/nodes")
    await _enter(page, bearers.named("rita").token)
    # "localhost" is another site than the address, and shows the same console.
    other = site.url.replace("127.0.0.1", "localhost")
    await page.goto(f"{other}sign-in")
    await page.evaluate(
        """(there) => { const link = document.createElement("a"); link.href = there; link.textContent = "there";
                        document.querySelector("main").append(link); }""",
        f"{site.url}audit",
    )
    await page.get_by_role("link", name="there").click()
    await expect(page.get_by_role("heading", name="Audit")).to_be_visible()


@pytest.mark.parametrize("scheme", list(RULES))
async def test_axe_finds_nothing_where_somebody_is_stopped(guarded: tuple[Site, Bearers], scheme: str) -> None:
    site, bearers = guarded
    page = await site.open(RETRY, color_scheme=scheme, **PHONE)
    await page.context.add_init_script(path=AXE)
    found: list[str] = []

    async def judge() -> None:
        result = await page.evaluate("(options) => axe.run(document, options)", RULES[scheme])
        found.extend(f"{page.url} {each['id']}: {each['nodes'][0]['html'][:200]}" for each in result["violations"])
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url

    await page.reload()
    await judge()
    await page.get_by_label("Token").fill("a.strangers.token")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("does not accept this token")
    await judge()
    await _enter(page, bearers.named("rita").token)
    await expect(page.get_by_role("heading", name="You may not do that")).to_be_visible()
    await judge()
    assert not found, "\n".join(found)
