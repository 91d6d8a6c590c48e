"""Who may reach the console, who may post, and what a browser may do with a page."""

import re

import pytest
from structlog.testing import capture_logs

from tests.console.scenery import STUCK_ID
from tests.unit.console.conftest import Browser

FORM = "application/x-www-form-urlencoded"
POST = f"/sagas/{STUCK_ID}/act"


@pytest.mark.parametrize("host", ["127.0.0.1:7280", "[::1]:7280", "localhost", "10.0.0.7", "console.example:80"])
async def test_hosts_that_are_ours(browser: Browser, host: str) -> None:
    assert (await browser.client.get("/", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1"])
async def test_hosts_that_are_not(browser: Browser, host: str) -> None:
    assert (await browser.client.get("/", headers={"host": host})).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:7280"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:7281"},
        {"origin": "http://evil.example"},
    ],
)
async def test_a_post_of_another_page_is_refused(browser: Browser, headers: dict[str, str]) -> None:
    form = {"action": "RETRY", "do": "act", "reason": "x", "version": "9", "request_id": "r"}
    answer = await browser.client.post(POST, data=form, headers=headers)
    assert answer.status_code == 403
    assert browser.service.calls == []


async def test_a_post_of_an_older_browser_is_known_by_its_origin(browser: Browser) -> None:
    form = {"action": "RETRY", "do": "act", "reason": "x", "version": "9", "request_id": "r"}
    answer = await browser.client.post(POST, data=form, headers={"origin": "http://127.0.0.1:7280"})
    assert answer.status_code == 303


@pytest.mark.parametrize("address", ["/", "/nope", "/sagas/none", "/static/console.js", "/static/nope"])
async def test_every_answer_forbids_what_is_inline_or_from_elsewhere(browser: Browser, address: str) -> None:
    headers = (await browser.client.get(address)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == ("max-age=3600" if "static" in address else "no-store")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"a" * (2 << 20), FORM, 413),
        (b"a=%ff", FORM, 400),
        (b"a=1&" * 500, FORM, 400),
        (b"{}", "application/json", 415),
        (b"", "", 415),
    ],
)
async def test_what_is_no_form_of_ours_is_refused(
    browser: Browser, body: bytes, content_type: str, status: int
) -> None:
    headers = {"sec-fetch-site": "same-origin", "content-type": content_type}
    assert (await browser.client.post(POST, content=body, headers=headers)).status_code == status


@pytest.mark.parametrize("path", ["//evil.example/x", "/%5Cevil.example", "///evil.example"])
async def test_no_page_links_to_another_host(browser: Browser, path: str) -> None:
    answer = await browser.client.get(f"http://127.0.0.1:7280{path}")
    assert answer.status_code == 404
    links = re.findall(r'(?:href|action|hx-get)="([^"]*)"', answer.text)
    assert links
    assert not [link for link in links if not re.match(r"(/(?![/\\])|#)", link)]


async def test_an_endless_address_is_refused(browser: Browser) -> None:
    assert (await browser.client.get("/sagas?step=" + "x" * 20_000)).status_code == 414


@pytest.mark.parametrize("address", ["/sagas/x/act", "/bulks/new", "/nodes/x/drain", "/participants/hold"])
async def test_nothing_is_done_by_looking(browser: Browser, address: str) -> None:
    await browser.client.get(f"{address}?do=act&action=RETRY&attention=STUCK&reason=x&why=x&request_id=r&service=a")
    assert browser.service.audit == []
    assert browser.service.bulks == {}
    assert browser.service.held == set()


async def test_a_defect_shows_a_page_without_its_text(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    text_of_the_error = "secret payload"

    def fail(*_: object) -> None:
        raise ValueError(text_of_the_error)

    monkeypatch.setattr("orchestrator.console.pages.audit.audit_row", fail)
    await browser.post(POST, {"action": "RETRY", "do": "act", "reason": "x", "version": "9", "request_id": "r"})
    with capture_logs() as logs:
        text = await browser.get("/audit", 500)
    (entry,) = logs
    assert (entry["page"], entry["error"]) == ("audit", "ValueError")
    assert "secret" not in str(entry)
    assert "This page has a defect." in text
    assert "secret" not in text
