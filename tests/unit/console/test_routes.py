"""Every route before everybody who may come: nobody, strangers, forged forms, and each role."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import httpx
import pytest
from starlette.routing import Route

from orchestrator.console.app import ROUTES
from orchestrator.console.settings import ConsoleSettings
from tests.console.bearer import ADMIN, OPERATOR, READER
from tests.console.scenery import PAYMENT, STUCK_ID
from tests.unit.console.signed import BULK_ID, FORM_TOKEN, House, form_token, open_house

NODE_ID: Final = "0192f3a0-0000-7000-a000-000000000001"
WHY: Final = {"reason": "a test", "request_id": "r-1"}
PEOPLE: Final = {READER: "rita", OPERATOR: "olga", ADMIN: "ada"}
RANKS: Final = (READER, OPERATOR, ADMIN)


@dataclass(frozen=True)
class Example:
    """``address`` stands for a route that takes ``role`` at the least."""

    address: str
    role: str = READER
    form: dict[str, str] = field(default_factory=dict)


ACT: Final = {**WHY, "action": "RETRY", "step": "confirm_reservation", "version": "9", "do": "act"}
BULK: Final = {"attention": "STUCK", "action": "RETRY", "do": "act", "why": "a test", "bulk_request_id": "b-1"}
EXAMPLES: Final = {
    "GET /": Example("/"),
    "GET /find": Example("/find?q=order"),
    "GET /sagas": Example("/sagas?attention=STUCK"),
    "GET /sagas/{saga_id}": Example(f"/sagas/{STUCK_ID}"),
    "GET /sagas/{saga_id}/act": Example(f"/sagas/{STUCK_ID}/act?action=RETRY&step=confirm_reservation", OPERATOR),
    "POST /sagas/{saga_id}/act": Example(f"/sagas/{STUCK_ID}/act", OPERATOR, ACT),
    "GET /bulks": Example("/bulks"),
    "GET /bulks/new": Example("/bulks/new?attention=STUCK&action=RETRY", OPERATOR),
    "POST /bulks/new": Example("/bulks/new", OPERATOR, BULK),
    "GET /bulks/{bulk_id}": Example(f"/bulks/{BULK_ID}"),
    "GET /bulks/{bulk_id}/cancel": Example(f"/bulks/{BULK_ID}/cancel", OPERATOR),
    "POST /bulks/{bulk_id}/cancel": Example(f"/bulks/{BULK_ID}/cancel", OPERATOR, WHY),
    "GET /participants": Example("/participants"),
    "GET /participants/hold": Example(f"/participants/hold?service={PAYMENT}", ADMIN),
    "POST /participants/hold": Example(f"/participants/hold?service={PAYMENT}", ADMIN, WHY),
    "GET /participants/release": Example(f"/participants/release?service={PAYMENT}", ADMIN),
    "POST /participants/release": Example(f"/participants/release?service={PAYMENT}", ADMIN, WHY),
    "GET /nodes": Example("/nodes"),
    "GET /nodes/{node_id}/drain": Example(f"/nodes/{NODE_ID}/drain", ADMIN),
    "POST /nodes/{node_id}/drain": Example(f"/nodes/{NODE_ID}/drain", ADMIN, WHY),
    "GET /definitions": Example("/definitions"),
    "GET /audit": Example("/audit"),
    "POST /sign-out": Example("/sign-out"),
}
"""Every route but the sign-in, which has tests of its own."""
POSTS: Final = [name for name in EXAMPLES if name.startswith("POST")]


INLINE: Final = re.compile(
    r"<script(?! src=\"/)|<style|\sstyle=|\son\w+=|javascript:|<base|<iframe|<object|<embed", re.IGNORECASE
)
ELSEWHERE: Final = re.compile(r"(?:src|href|action|hx-get)=\"(?!/(?![/\\])|#)", re.IGNORECASE)


async def _send(browser: httpx.AsyncClient, name: str, form: dict[str, str]) -> httpx.Response:
    """Asks for the route's example; a post always has a form, if an empty one."""
    if name.startswith("GET"):
        return await browser.get(EXAMPLES[name].address)
    return await browser.post(EXAMPLES[name].address, data={"_": "", **form})


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house(ConsoleSettings(sign_in=True)) as made:
        yield made


def test_every_route_has_an_example() -> None:
    routes = {
        f"{method} {route.path}"
        for route in ROUTES
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert routes - {"GET /sign-in", "POST /sign-in"} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
async def test_nobody_is_led_to_the_sign_in_and_the_node_is_not_even_asked(house: House, name: str) -> None:
    browser = house.browser()
    answer = await _send(browser, name, EXAMPLES[name].form)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert "set-cookie" not in answer.headers
    assert house.bearers.called == []


@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_cookie_of_a_stranger_opens_nothing_and_is_taken_back(house: House, name: str) -> None:
    browser = house.browser()
    browser.cookies.set("session", "A" * 43, domain="127.0.0.1", path="/")
    answer = await _send(browser, name, EXAMPLES[name].form)
    assert answer.status_code == 303
    assert "why=expired" in answer.headers["location"]
    assert 'session=""' in answer.headers["set-cookie"]
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert house.bearers.called == []


@pytest.mark.parametrize("name", EXAMPLES)
async def test_a_session_that_has_ended_opens_nothing(house: House, name: str) -> None:
    example, browser = EXAMPLES[name], await house.enter("ada")
    form = {**example.form, "form_token": await form_token(browser)}
    house.bearers.called.clear()
    house.clock.passed_s += ConsoleSettings().session_s
    answer = await _send(browser, name, form)
    assert answer.status_code == 303
    assert "why=expired" in answer.headers["location"]
    assert house.bearers.called == []


@pytest.mark.parametrize("name", POSTS)
@pytest.mark.parametrize("forged", ["", "0" * 64, "of somebody else", "doubled"])
async def test_a_form_without_its_viewers_token_is_refused(house: House, name: str, forged: str) -> None:
    example, browser = EXAMPLES[name], await house.enter("ada")
    given = forged
    if forged == "of somebody else":
        given = await form_token(await house.enter("ada"))  # another session of the same person, even
    if forged == "doubled":
        given = await form_token(browser) * 2
    house.bearers.called.clear()
    answer = await _send(browser, name, {**example.form, "form_token": given})
    assert answer.status_code == 403
    assert "This form was not made for you." in answer.text
    assert house.bearers.called == []
    assert (await browser.get("/nodes")).status_code == 200, "its session goes on"


@pytest.mark.parametrize("role", RANKS)
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "POST /sign-out"])
async def test_a_role_opens_what_it_may_and_names_what_it_would_take(house: House, name: str, role: str) -> None:
    example, browser = EXAMPLES[name], await house.enter(PEOPLE[role])
    form = {**example.form, "form_token": await form_token(browser)}
    answer = await _send(browser, name, form)
    if RANKS.index(role) >= RANKS.index(example.role):
        expected = 303 if "POST" in name or name == "GET /find" else 200
        assert answer.status_code == expected, answer.text
    else:
        assert answer.status_code == 403
        assert f"It takes the role <strong><bdi>{example.role}</bdi></strong>" in answer.text
        assert f"<bdi>{PEOPLE[role]}</bdi>" in answer.text
        assert house.service.audit == []
        assert house.service.held == set()
        assert house.service.drained == {}
    assert {caller for caller, _ in house.bearers.called} == {PEOPLE[role]}, "the node sees the person, not the console"


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("GET") and name != "GET /find"])
async def test_every_form_that_posts_holds_the_token(house: House, name: str) -> None:
    page = (await (await house.enter("ada")).get(EXAMPLES[name].address)).text
    posting = page.count('method="post"')
    assert posting >= 1, "the sign-out at the least"
    assert len(FORM_TOKEN.findall(page)) == posting
    assert len(set(FORM_TOKEN.findall(page))) == 1


@pytest.mark.parametrize("name", [*EXAMPLES, "GET /sign-in", "GET /nope"])
@pytest.mark.parametrize("person", ["", "rita", "ada"])
async def test_every_answer_has_the_policy_and_nothing_inline(house: House, name: str, person: str) -> None:
    browser = await house.enter(person) if person else house.browser()
    if name in EXAMPLES:
        answer = await _send(browser, name, EXAMPLES[name].form)
    else:
        answer = await browser.get(name.split()[1])
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {value for key, value in policy.items() if key.endswith("-src") and key != "default-src"} == {"'self'"}
    assert (policy["frame-ancestors"], policy["base-uri"], policy["form-action"]) == ("'none'", "'none'", "'self'")
    assert answer.headers["cache-control"] == "no-store"
    page = re.sub(r">[^<]*<", "><", answer.text)  # without the text between tags, which may say anything
    assert not INLINE.search(page)
    assert not ELSEWHERE.search(page)


@pytest.mark.parametrize("role", RANKS)
async def test_only_what_a_role_may_do_is_offered(house: House, role: str) -> None:
    browser = await house.enter(PEOPLE[role])
    pages = {path: (await browser.get(path)).text for path in ("/", f"/sagas/{STUCK_ID}", "/nodes", "/participants")}
    is_operator, is_admin = role in (OPERATOR, ADMIN), role == ADMIN
    assert ("Repair all" in pages["/"]) == is_operator
    assert (f"/sagas/{STUCK_ID}/act?" in pages[f"/sagas/{STUCK_ID}"]) == is_operator
    assert ("Look on: to act" in pages[f"/sagas/{STUCK_ID}"]) == (not is_operator)
    assert ("Drain…" in pages["/nodes"]) == is_admin
    assert ("Hold…" in pages["/participants"]) == is_admin
    assert ("Stop it…" in (await browser.get(f"/bulks/{BULK_ID}")).text) == is_operator
