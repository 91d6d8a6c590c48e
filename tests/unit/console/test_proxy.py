"""Tokens that an authenticating proxy in front hands over."""

from collections.abc import AsyncIterator

import httpx
import pytest

from orchestrator.console.settings import ConsoleSettings
from tests.console.scenery import PAYMENT
from tests.unit.console.signed import House, form_token, open_house, sign_in

HOLD = f"/participants/hold?service={PAYMENT}"
PLAN = "/bulks/new?attention=STUCK"
FORM = {"reason": "a test", "request_id": "r-1"}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house(ConsoleSettings(sign_in=True, trust_proxy_token=True)) as made:
        yield made


def _behind_proxy(house: House, name: str) -> httpx.AsyncClient:
    browser = house.browser()
    browser.headers["authorization"] = f"Bearer {house.bearers.named(name).token}"
    return browser


async def test_a_token_that_is_handed_over_needs_no_session(house: House) -> None:
    browser = _behind_proxy(house, "ada")
    for _ in range(3):
        answer = await browser.get("/nodes")
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert "Sign out" not in answer.text
    assert house.bearers.called == [("ada", "GetIdentity"), *[("ada", "ListNodes")] * 3], "it is asked about once"
    house.clock.passed_s += ConsoleSettings().proxy_token_s
    await browser.get("/nodes")
    assert house.bearers.called[-2:] == [("ada", "GetIdentity"), ("ada", "ListNodes")]
    assert (await browser.get("/sign-in?next=/audit")).headers["location"] == "/audit"


async def test_its_forms_hold_a_token_too_that_outlives_the_renewal_of_the_proxys(house: House) -> None:
    browser = _behind_proxy(house, "ada")
    assert (await browser.post(HOLD, data=FORM)).status_code == 403
    assert (await browser.post(HOLD, data={**FORM, "form_token": "0" * 64})).status_code == 403
    others = await form_token(_behind_proxy(house, "olga"), PLAN)
    assert (await browser.post(HOLD, data={**FORM, "form_token": others})).status_code == 403
    assert house.service.held == set()
    own = await form_token(browser, PLAN)
    ada = house.bearers.named("ada")
    house.bearers.known["renewed.token"] = ada
    browser.headers["authorization"] = "Bearer renewed.token"
    assert (await browser.post(HOLD, data={**FORM, "form_token": own})).status_code == 303
    assert house.service.held == {PAYMENT}


async def test_the_header_decides_alone_even_beside_a_session(house: House) -> None:
    browser = house.browser()
    await sign_in(browser, house.bearers.named("ada").token)
    assert "<bdi>ada</bdi>" in (await browser.get("/nodes")).text
    browser.headers["authorization"] = f"Bearer {house.bearers.named('rita').token}"
    assert "<bdi>rita</bdi>" in (await browser.get("/nodes")).text


@pytest.mark.parametrize("header", ["Bearer a.strangers.token", "Basic YTpi", "Bearer", "Bearer a b", ""])
async def test_a_token_that_is_none_of_the_nodes_opens_nothing(house: House, header: str) -> None:
    browser = house.browser()
    answer = await browser.get("/nodes", headers={"authorization": header})
    assert answer.status_code == 401
    assert "The node does not know who you are." in answer.text
    assert "location" not in answer.headers, "a sign-in page would lead round in circles"
    assert [method for name, method in house.bearers.called if name] == []


async def test_a_token_that_the_node_takes_back_is_forgotten(house: House) -> None:
    browser = _behind_proxy(house, "ada")
    await browser.get("/nodes")
    del house.bearers.known[house.bearers.named("ada").token]
    assert (await browser.get("/nodes")).status_code == 401
    assert house.bearers.called[-1] == ("", "ListNodes")
    assert (await browser.get("/nodes")).status_code == 401
    assert house.bearers.called[-1] == ("", "GetIdentity")


async def test_without_the_header_there_is_the_sign_in(house: House) -> None:
    browser = house.browser()
    assert (await browser.get("/nodes")).status_code == 303
    await sign_in(browser, house.bearers.named("ada").token)
    assert (await browser.get("/nodes")).status_code == 200
