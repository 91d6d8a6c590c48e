"""What an operator does at three in the morning, in a real browser."""

import re

from playwright.async_api import Page, expect
from saga.v1 import operator_pb2 as op
from saga.v1 import saga_pb2

from tests.console.conftest import FAILURES, Site
from tests.console.scenery import HOSTILE_ID, STUCK_ID


async def _to_the_retry(site: Site) -> Page:
    """From the first page to the dry run of a retry."""
    page = await site.open()
    await page.get_by_role("row", name="RESERVATION_EXPIRED").get_by_role("link", name="Explain one").click()
    await expect(page.get_by_role("heading", name="Why it stands here")).to_be_visible()
    await expect(page.get_by_text("It is stuck at step confirm_reservation")).to_be_visible()
    await page.get_by_role("link", name="Retry confirm_reservation").click()
    await expect(page.get_by_text("InventoryService/ConfirmReservation")).to_be_visible()
    return page


async def test_what_is_stuck_is_found_explained_planned_and_retried(site: Site) -> None:
    page = await _to_the_retry(site)
    assert site.service.audit == [], "a dry run stores nothing"
    await expect(page.get_by_label("Why")).to_be_focused()
    await page.get_by_label("Why").fill("the hold was renewed")
    await page.get_by_role("button", name="Retry now").dblclick()
    await expect(page.get_by_text("see below what comes of it")).to_be_visible()
    (entry,) = site.service.audit
    assert (entry.action, entry.reason) == (op.OPERATOR_ACTION_RETRY, "the hold was renewed")
    await expect(page.get_by_role("cell", name="the hold was renewed")).to_be_visible()


async def test_a_lost_race_is_told_and_looking_again_goes_on(site: Site) -> None:
    page = await _to_the_retry(site)
    site.service.sagas[STUCK_ID].last_seq += 1
    await page.get_by_label("Why").fill("the hold was renewed")
    await page.get_by_role("button", name="Retry now").click()
    await expect(page.get_by_role("alert")).to_contain_text("Someone was faster.")
    assert site.service.audit == []
    await page.get_by_role("link", name="Look again").click()
    await page.get_by_label("Why").fill("once more")
    await page.get_by_role("button", name="Retry now").click()
    await expect(page.get_by_text("see below what comes of it")).to_be_visible()


async def test_many_are_repaired_at_once_and_the_page_follows(site: Site) -> None:
    page = await site.open("/sagas")
    await page.get_by_role("group", name="Needs attention").get_by_label("stuck").check()
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name="Repair all of these").click()
    await page.get_by_role("radio", name=re.compile("^retry Try")).check()
    await page.get_by_role("button", name="Dry run").click()
    await expect(page.get_by_role("heading", name="3. Dry run: 12 sagas")).to_be_visible()
    assert site.service.bulks == {}
    await page.get_by_label("Why").fill("inventory is back")
    await page.get_by_role("button", name="Retry 12 sagas").dblclick()
    await expect(page.get_by_role("progressbar")).to_be_visible()
    # It goes on without anybody loading the page again.
    await expect(page.get_by_role("status").filter(has_text="100 %")).to_be_visible()
    assert len(site.service.bulks) == 1
    await page.get_by_role("link", name="refused").click()
    await expect(page.get_by_role("cell", name="VERSION_CHANGED")).to_have_count(2)


async def test_pages_look_again_while_they_are_seen_and_keep_what_was_opened(site: Site) -> None:
    page = await site.open(f"/sagas/{STUCK_ID}")
    await page.get_by_text("Steps as a table").click()
    link = page.get_by_role("link", name="Skip step confirm_reservation")
    await link.focus()
    site.service.sagas[STUCK_ID].last_seq = 77
    await expect(page.get_by_text("version 77")).to_be_visible()
    await expect(page.get_by_role("table", name="Steps of the saga")).to_be_visible()
    await expect(link).to_be_focused()

    await page.get_by_role("button", name="Pause updates").click()
    site.service.sagas[STUCK_ID].last_seq = 78
    async with page.expect_response(re.compile(STUCK_ID)):  # whoever continues sees it at once
        await page.get_by_role("button", name="Resume updates").click()
    await expect(page.get_by_text("version 78")).to_be_visible()


async def test_a_tab_that_is_not_seen_asks_nothing(site: Site) -> None:
    page = await site.open()
    await page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.evaluate("new Promise(done => { let ticks = 0; setInterval(() => ++ticks > 5 && done(), 200) })")
    assert asked == []


async def test_a_node_that_goes_away_is_told_and_its_return_too(site: Site) -> None:
    page = await site.open()
    await page.route("**/*", lambda route: route.abort())
    await expect(page.get_by_text("The node is not reached.")).to_be_visible()
    await expect(page.get_by_text("What you see is as of")).to_be_visible()
    await page.unroute("**/*")
    await expect(page.get_by_text("The node is not reached.")).to_be_hidden()


async def test_an_operator_who_is_overtaken_sees_it_in_the_open_page(site: Site) -> None:
    page = await site.open(f"/sagas/{STUCK_ID}")
    site.service.sagas[STUCK_ID].state = saga_pb2.SAGA_STATE_RUNNING
    await expect(page.get_by_text("The saga is SAGA_STATE_RUNNING.")).to_be_visible()
    await expect(page.get_by_role("link", name="Retry confirm_reservation")).to_have_count(0)


async def test_hostile_text_is_only_text(site: Site) -> None:
    page = await site.open(f"/sagas/{HOSTILE_ID}")
    for path in (f"/sagas/{HOSTILE_ID}", "/", "/sagas", f"/sagas/{HOSTILE_ID}/act?action=RETRY&step=authorize"):
        await page.goto(path)
        await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        assert await page.evaluate("window.pwned") is None
        assert await page.locator("main :is(img, script, iframe, object, embed, base)").count() == 0
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        text = await page.locator("main").inner_text()
        assert "<script>" in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert len(text) < 60_000


async def test_even_text_that_slipped_through_would_do_nothing(site: Site) -> None:
    page = await site.open()
    # As if the escaping had failed: the policy stands behind it.
    blocked = await page.evaluate(
        """(html) => new Promise((done) => {
            document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
            document.querySelector("main").insertAdjacentHTML("beforeend", html);
        })""",
        "<img src=/nope onerror='window.pwned = 1'>",
    )
    assert blocked.startswith("script-src")
    assert await page.evaluate("window.pwned") is None
    FAILURES.clear()  # the browser reports the violation, as it should
