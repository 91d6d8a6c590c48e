"""The console as the node serves it."""

import ssl
from pathlib import Path

import httpx
import pytest

from contracts.http_server import HttpAddressError
from contracts.tls import ServerTls
from orchestrator.console.addresses import own_address
from orchestrator.console.server import ConsoleServer
from orchestrator.console.settings import ConsoleSettings
from tests.console.bearer import Bearers, KnowingStandIn
from tests.console.standin import FullStandIn
from tests.fixtures.certificates import Authority
from tests.fixtures.operator_service import serve_operator
from tests.unit.console.conftest import OWN_PAGE

LOOPBACK = "127.0.0.1:0"


async def test_it_serves_what_the_node_answers_and_stops_twice() -> None:
    async with serve_operator(FullStandIn()) as address:
        server = ConsoleServer(LOOPBACK, ConsoleSettings())
        url = await server.start(address)
        async with httpx.AsyncClient(base_url=url) as client:
            page = await client.get("/")
            script = await client.get("/static/vendor/htmx.min.js")
        await server.stop()
        await server.stop()
    assert (page.status_code, script.status_code) == (200, 200)
    assert "Needs attention" in page.text
    assert "server" not in page.headers
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_over_tls_the_session_is_that_of_this_host_and_of_tls_alone(tmp_path: Path) -> None:
    authority, bearers = Authority(), Bearers()
    tls = ServerTls(*authority.issue("localhost").write(tmp_path, "console"))
    trust = ssl.create_default_context(cadata=authority.certificate.decode())
    async with serve_operator(KnowingStandIn(), first=[bearers]) as address:
        server = ConsoleServer(LOOPBACK, ConsoleSettings(sign_in=True), tls=tls)
        url = (await server.start(address)).replace("127.0.0.1", "localhost")
        async with httpx.AsyncClient(base_url=url, verify=trust, headers=OWN_PAGE) as client:
            answer = await client.post("/sign-in", data={"token": bearers.named("ada").token})
            page = await client.get("/nodes")
        await server.stop()
    assert url.startswith("https://")
    assert answer.headers["set-cookie"].startswith("__Host-session=")
    assert "Secure" in answer.headers["set-cookie"]
    assert page.status_code == 200


async def test_a_port_that_is_taken_is_named() -> None:
    first, second = ConsoleServer(LOOPBACK, ConsoleSettings()), None
    url = await first.start("127.0.0.1:1")
    try:
        address = url.removeprefix("http://").rstrip("/")
        second = ConsoleServer(address, ConsoleSettings())
        with pytest.raises(HttpAddressError, match=f"cannot listen on {address}"):
            await second.start("127.0.0.1:1")
        await second.stop()
    finally:
        await first.stop()


@pytest.mark.parametrize(
    ("listens", "port", "reached"),
    [
        ("127.0.0.1:0", 7233, "127.0.0.1:7233"),
        ("0.0.0.0:7233", 7233, "127.0.0.1:7233"),
        ("[::]:7233", 7233, "[::1]:7233"),
        ("10.0.0.7:7233", 7233, "10.0.0.7:7233"),
        ("127.0.0.1:7233", 0, "127.0.0.1:7233"),
        ("unix:/run/node.sock", 0, "unix:/run/node.sock"),
    ],
)
def test_a_node_reaches_itself(listens: str, port: int, reached: str) -> None:
    assert own_address(listens, port) == reached
