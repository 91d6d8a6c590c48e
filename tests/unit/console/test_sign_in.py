"""Coming in and going out: cookies, what becomes of a token, and where one is led."""

import re
import time
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import grpc
import pytest
from saga.v1 import operator_service_pb2 as pb
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub
from structlog.testing import capture_logs

from orchestrator.console.access.entrance import Admitted
from orchestrator.console.access.sessions import Session
from orchestrator.console.access.viewer import NOBODY
from orchestrator.console.api import OperatorApi
from orchestrator.console.problems import TokenRefusedError
from orchestrator.console.settings import ConsoleSettings
from tests.console.scenery import STUCK_ID
from tests.fixtures.operator_service import serve_operator
from tests.unit.console.signed import PLAIN, TLS, House, form_token, open_house, sign_in

HTMX = {"hx-request": "true"}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house(ConsoleSettings(sign_in=True, hosts=frozenset({"console.example"}))) as made:
        yield made


@pytest.mark.parametrize(("base_url", "name"), [(PLAIN, "session"), (TLS, "__Host-session")])
async def test_the_cookie_is_for_this_host_and_these_pages_alone(house: House, base_url: str, name: str) -> None:
    browser = house.browser(base_url)
    answer = await sign_in(browser, house.bearers.named("ada").token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert cookie.key == name
    assert (cookie["path"], cookie["domain"], cookie["httponly"], cookie["samesite"]) == ("/", "", True, "strict")
    assert bool(cookie["secure"]) == (base_url == TLS)
    assert (cookie["max-age"], cookie["expires"]) == ("", ""), "it goes with the browser"
    assert len(cookie.value) == 43, "256 bits"
    assert (await browser.get("/nodes")).status_code == 200


async def test_over_tls_a_cookie_that_a_neighbour_may_have_planted_counts_for_nothing(house: House) -> None:
    browser = await house.enter("ada", TLS)
    session_id = browser.cookies["__Host-session"]
    other = house.browser(TLS)
    other.cookies.set("session", session_id, domain="console.example", path="/")
    assert (await other.get("/nodes")).status_code == 303


async def test_an_id_that_was_there_before_the_sign_in_is_worth_nothing_after_it(house: House) -> None:
    browser = house.browser()
    browser.cookies.set("session", "planted" * 6, domain="127.0.0.1", path="/")
    await sign_in(browser, house.bearers.named("ada").token)
    first = browser.cookies["session"]
    assert "planted" not in first
    await sign_in(browser, house.bearers.named("ada").token)
    second = browser.cookies["session"]
    assert second != first
    for old in ("planted" * 6, first):
        other = house.browser()
        other.cookies.set("session", old, domain="127.0.0.1", path="/")
        assert (await other.get("/nodes")).status_code == 303


async def test_signing_out_ends_the_session_for_every_copy_of_its_cookie(house: House) -> None:
    browser = await house.enter("ada")
    session_id, token = browser.cookies["session"], await form_token(browser)
    answer = await browser.post("/sign-out", data={"form_token": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?why=out")
    assert "session" not in browser.cookies
    copy = house.browser()
    copy.cookies.set("session", session_id, domain="127.0.0.1", path="/")
    assert (await copy.get("/nodes")).status_code == 303
    assert "You have signed out." in (await browser.get(answer.headers["location"])).text


async def test_nobody_is_signed_out_by_a_link(house: House) -> None:
    browser = await house.enter("ada")
    assert (await browser.get("/sign-out")).status_code == 405
    assert (await browser.get("/nodes")).status_code == 200


async def test_a_token_that_ends_ends_the_session_too(house: House) -> None:
    house.bearers.named("ada").expires_at = int(time.time()) + 100
    browser = await house.enter("ada")
    house.clock.passed_s += 50
    assert (await browser.get("/nodes")).status_code == 200
    house.clock.passed_s += 51
    assert (await browser.get("/nodes")).headers["location"] == "/sign-in?next=%2Fnodes&why=expired"


async def test_a_session_that_nobody_uses_ends_even_while_its_page_looks_again(house: House) -> None:
    browser, idle_s = await house.enter("ada"), ConsoleSettings().idle_s
    for _ in range(3):
        house.clock.passed_s += idle_s * 0.6
        assert (await browser.get("/nodes")).status_code == 200
    house.clock.passed_s += idle_s * 0.6
    assert (await browser.get("/nodes", headers=HTMX)).status_code == 200
    house.clock.passed_s += idle_s * 0.6
    answer = await browser.get("/sagas?attention=STUCK", headers=HTMX)
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/sign-in?next=%2Fsagas%3Fattention%3DSTUCK&why=expired"
    assert answer.text == ""


@pytest.mark.parametrize("path", ["/", f"/sagas/{STUCK_ID}", "/bulks/new?attention=STUCK&action=RETRY", "/audit"])
async def test_a_token_that_the_node_no_longer_accepts_signs_out_with_a_word(house: House, path: str) -> None:
    browser = await house.enter("ada")
    session_id = browser.cookies["session"]
    del house.bearers.known[house.bearers.named("ada").token]
    answer = await browser.get(path)
    assert answer.status_code == 303
    assert "why=refused" in answer.headers["location"]
    assert "session" not in browser.cookies
    assert "no longer accepts your token" in (await browser.get(answer.headers["location"])).text
    copy = house.browser()
    copy.cookies.set("session", session_id, domain="127.0.0.1", path="/")
    house.bearers.called.clear()
    assert "why=expired" in (await copy.get(path)).headers["location"]
    assert house.bearers.called == []


async def test_a_post_that_comes_too_late_does_nothing_and_leads_back_to_its_form(house: House) -> None:
    browser = await house.enter("ada")
    form = {"form_token": await form_token(browser), "reason": "x", "request_id": "r"}
    house.clock.passed_s += ConsoleSettings().session_s
    sent_by = {"referer": f"{PLAIN}/participants/hold?service=a.B"}
    answer = await browser.post("/participants/hold?service=a.B", data=form, headers=sent_by)
    assert answer.headers["location"] == "/sign-in?next=%2Fparticipants%2Fhold%3Fservice%3Da.B&why=expired"
    assert house.service.held == set()
    strange = {"referer": "http://evil.example/x"}
    answer = await browser.post("/participants/hold?service=a.B", data=form, headers=strange)
    assert answer.headers["location"] == "/sign-in"


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ("/sagas?attention=STUCK&step=a", "/sagas?attention=STUCK&step=a"),
        ("", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("https:evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/é", "/"),
        ("/" + "a" * 5000, "/"),
        ("/sign-in?next=/", "/"),
        ("/sign-out", "/"),
    ],
)
async def test_nobody_is_led_elsewhere(house: House, given: str, then: str) -> None:
    browser = house.browser()
    page = (await browser.get("/sign-in", params={"next": given})).text
    found = re.search(r'name="next" value="([^"]*)"', page)
    assert found
    assert found[1].replace("&amp;", "&") == then
    answer = await sign_in(browser, house.bearers.named("ada").token, given)
    assert answer.headers["location"] == then
    assert (await browser.get("/sign-in", params={"next": given})).headers["location"] == then, "when signed in already"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_link_on_another_site_finds_whoever_has_signed_in(house: House, site: str) -> None:
    strange = {"sec-fetch-site": site}
    browser = house.browser()  # the browser keeps a strict cookie back
    first = await browser.get("/sagas?step=a", headers=strange)
    assert "set-cookie" not in first.headers, "the good cookie stays"
    page = await browser.get(first.headers["location"], headers=strange)
    assert page.headers["refresh"] == "0; url=/sagas?step=a"
    assert "refresh" not in (await browser.get(first.headers["location"])).headers


@pytest.mark.parametrize("token", ["", " ", "a b", "a\nb", "é", "a" * 9000, "Bearer a b", "a=b", "Basic YTpi"])
async def test_what_can_be_no_token_is_not_even_sent(house: House, token: str) -> None:
    answer = await sign_in(house.browser(), token)
    assert answer.status_code == 400
    assert "This is no token." in answer.text
    assert house.bearers.called == []


@pytest.mark.parametrize("written", ["{}", "  {}\n", "Bearer {}", "bearer  {}"])
async def test_a_token_is_taken_as_people_paste_it(house: House, written: str) -> None:
    answer = await sign_in(house.browser(), written.format(house.bearers.named("ada").token))
    assert answer.status_code == 303


async def test_a_token_that_the_node_refuses_stands_nowhere(house: House) -> None:
    browser, token = house.browser(), "a.strangers.token"
    with capture_logs() as logs:
        answer = await sign_in(browser, token)
        assert (await sign_in(browser, house.bearers.named("ada").token)).status_code == 303
        await browser.post("/sign-out", data={"form_token": await form_token(browser)})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "The node does not accept this token." in answer.text
    assert "set-cookie" not in answer.headers
    assert token not in answer.text
    assert [entry["event"] for entry in logs] == ["console_sign_in_refused", "console_signed_in", "console_signed_out"]
    assert "token-of" not in str(logs)
    assert token not in str(logs)
    assert house.bearers.refused == [f"Bearer {token}"]


async def test_whoever_the_policy_does_not_know_is_told_so(house: House) -> None:
    answer = await sign_in(house.browser(), house.bearers.named("nemo").token)
    assert answer.status_code == 403
    assert "does not know you" in answer.text
    assert "set-cookie" not in answer.headers


async def test_tokens_are_tried_no_more_than_so_often(house: House) -> None:
    browser = house.browser(client=("192.0.2.7", 1))
    statuses = [(await sign_in(browser, f"guess.{number}")).status_code for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    late = await sign_in(browser, house.bearers.named("ada").token)
    assert (late.status_code, late.headers["retry-after"]) == (429, "6")
    assert len(house.bearers.called) == 10
    other = house.browser(client=("192.0.2.8", 1))
    assert (await sign_in(other, house.bearers.named("ada").token)).status_code == 303
    house.clock.passed_s += 6
    assert (await sign_in(browser, house.bearers.named("ada").token)).status_code == 303


async def test_a_token_in_the_address_is_never_read(house: House) -> None:
    browser, token = house.browser(), house.bearers.named("ada").token
    page = await browser.get("/sign-in", params={"token": token})
    assert (page.status_code, token in page.text) == (200, False)
    assert (await browser.post("/sign-in", params={"token": token}, data={"next": "/"})).status_code == 400


async def test_a_header_counts_for_nothing_unless_a_proxy_is_trusted(house: House) -> None:
    answer = await house.browser().get(
        "/nodes", headers={"authorization": "Bearer " + house.bearers.named("ada").token}
    )
    assert answer.status_code == 303
    assert house.bearers.called == []


async def test_the_page_of_a_session_says_whose_it_is_and_the_sign_in_page_shows_nothing_else(house: House) -> None:
    page = (await (await house.enter("olga")).get("/nodes")).text
    assert "<bdi>olga</bdi>" in page
    assert "Sign out" in page
    page = (await house.browser().get("/sign-in")).text
    assert "Overview" not in page
    assert 'action="/find"' not in page
    assert "Sign out" not in page


def test_no_value_shows_a_token() -> None:
    assert "secret" not in repr((Session(b"", "secret", NOBODY, 1.0, 1.0), Admitted("secret", NOBODY)))


async def test_where_people_sign_in_nothing_is_asked_in_nobodys_name(house: House) -> None:
    async with (
        serve_operator(house.service, first=[house.bearers]) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        api = OperatorApi(SagaOperatorServiceStub(channel), ConsoleSettings(sign_in=True))
        with pytest.raises(TokenRefusedError):
            await api.read(api.stub.ListNodes, pb.ListNodesRequest())
    assert house.bearers.called == []


async def test_without_a_policy_there_is_nothing_to_sign_in_to() -> None:
    async with open_house(ConsoleSettings()) as house:
        browser = house.browser()
        assert (await browser.get("/sign-in?next=/nodes")).headers["location"] == "/nodes"
        assert (await sign_in(browser, house.bearers.named("ada").token)).headers["location"] == "/"
        # Nor does a console that was not told of the policy get in: the node refuses it.
        answer = await browser.get("/nodes")
        assert answer.status_code == 401
        assert "does not know who you are" in answer.text
