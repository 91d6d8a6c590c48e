"""The console before a real node with a policy: what a person does there is done, seen and written down as theirs."""

import asyncio
import re
from dataclasses import dataclass

import httpx
import pytest
from saga.v1 import operator_service_pb2 as pb

from orchestrator.console.app import create_app
from orchestrator.console.settings import ConsoleSettings
from tests.security.access.served import CALL_S, POLICY, Guarded

OWN_PAGE = {"sec-fetch-site": "same-origin"}


@dataclass(frozen=True)
class Desk:
    """The console of the guarded node, and browsers to it."""

    guarded: Guarded
    transport: httpx.ASGITransport

    def browser(self) -> httpx.AsyncClient:
        """With cookies of its own."""
        return httpx.AsyncClient(transport=self.transport, base_url="http://127.0.0.1:7280", headers=OWN_PAGE)

    async def sign_in(self, who: str) -> tuple[httpx.AsyncClient, httpx.Response]:
        """A browser, and the answer to the token of this subject of the policy."""
        browser = self.browser()
        ((_, header),) = self.guarded.metadata(who)
        return browser, await browser.post("/sign-in", data={"token": header})

    async def enter(self, who: str) -> httpx.AsyncClient:
        browser, answer = await self.sign_in(who)
        assert answer.status_code == 303, answer.text
        return browser


@pytest.fixture
async def desk(guarded: Guarded) -> Desk:
    app = create_app(guarded.channel, ConsoleSettings(sign_in=True))
    return Desk(guarded, httpx.ASGITransport(app))


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]* value="([^"]*)"', page)
    assert found, name
    return found[1]


async def test_what_an_operator_does_is_written_down_under_the_operators_own_name(desk: Desk) -> None:
    saga_id = await desk.guarded.start()
    browser = await desk.enter("operator")
    page = (await browser.get(f"/sagas/{saga_id}/act?action=PAUSE")).text
    assert "<bdi>login/operator</bdi>" in page
    form = {name: _field(page, name) for name in ("form_token", "action", "version", "request_id")}
    answer = await browser.post(f"/sagas/{saga_id}/act", data={**form, "reason": "by the page", "do": "act"})
    log = (await desk.guarded.call("ListAudit", pb.ListAuditRequest(), "admin")).entries
    assert [(entry.caller, entry.reason) for entry in log] == [("login/operator", "by the page")], answer.text


async def test_a_reader_looks_and_does_not_act_and_sees_its_tenants_sagas_alone(desk: Desk) -> None:
    own, other = await desk.guarded.start(), await desk.guarded.start("stranger")
    browser = await desk.enter("reader")
    page = (await browser.get(f"/sagas/{own}")).text
    assert f"/sagas/{own}/act" not in page
    assert (await browser.get(f"/sagas/{other}")).status_code == 404
    listed = (await browser.get("/sagas")).text
    assert (str(own) in listed, str(other) in listed) == (True, False)
    refused = await browser.get(f"/sagas/{own}/act?action=PAUSE")
    assert refused.status_code == 403
    assert "<bdi>operator</bdi>" in refused.text
    forced = {"form_token": _field(page, "form_token"), "action": "PAUSE", "version": "1", "request_id": "r"}
    answer = await browser.post(f"/sagas/{own}/act", data={**forced, "reason": "x", "do": "act"})
    assert answer.status_code == 403, "the node says so, whatever the page offers"
    assert "do not let it call" in answer.text
    assert not (await desk.guarded.call("ListAudit", pb.ListAuditRequest(), "admin")).entries


async def test_whoever_the_policy_does_not_know_gets_no_session(desk: Desk) -> None:
    _, answer = await desk.sign_in("unknown")
    assert answer.status_code == 403
    assert "does not know you" in answer.text
    assert "set-cookie" not in answer.headers


async def test_a_starter_is_let_in_and_told_what_pages_take(desk: Desk) -> None:
    answer = await (await desk.enter("starter")).get("/")
    assert answer.status_code == 403
    assert "<bdi>reader</bdi>" in answer.text
    assert "Sign out" in answer.text


async def _until_status(browser: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    """The first answer with the status; files are looked at every 50 ms here."""
    async with asyncio.timeout(CALL_S):
        while True:  # what is waited for has no event of its own
            answer = await browser.get(path)
            if answer.status_code == status:
                return answer
            await asyncio.sleep(0.02)


async def test_a_key_that_its_issuer_withdraws_signs_out(desk: Desk) -> None:
    browser = await desk.enter("admin")
    assert (await browser.get("/nodes")).status_code == 200
    desk.guarded.issuer.rotate("second", keep=False)
    desk.guarded.issuer.publish(desk.guarded.folder / "jwks.json")
    answer = await _until_status(browser, "/nodes", 303)
    assert answer.headers["location"] == "/sign-in?next=%2Fnodes&why=refused"
    assert "session" not in browser.cookies


async def test_whom_the_policy_drops_does_nothing_more(desk: Desk) -> None:
    browser = await desk.enter("admin")
    desk.guarded.rewrite(POLICY.replace('subject = "admin"', 'subject = "somebody-else"'))
    answer = await _until_status(browser, "/nodes", 403)
    assert "does not know the caller" in answer.text


async def test_a_session_lasts_no_longer_than_the_nodes_own_word(desk: Desk) -> None:
    issuer = desk.guarded.issuer
    browser = desk.browser()
    await browser.post("/sign-in", data={"token": issuer.token("admin", lifetime_s=1.5)})
    answer = await _until_status(browser, "/nodes", 303)
    assert "why=" in answer.headers["location"]
