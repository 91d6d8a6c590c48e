"""Whoever connects to the console or to the metrics and does not go on loses the connection, and nobody else theirs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from prometheus_client import CollectorRegistry

from contracts import bounded_http
from orchestrator.console import server as console
from orchestrator.console.settings import ConsoleSettings
from orchestrator.telemetry import metrics_server as metrics

READ_S = 0.4
WAIT_S = 10.0
LOOPBACK = "127.0.0.1:0"
PAGES = {"console": "/static/console.css", "metrics": "/metrics"}
LIMITS = {"console": console.BOUNDS.max_connections, "metrics": metrics.BOUNDS.max_connections}
HEAD = b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ntoken="
SCRIPT = b"GET /static/vendor/htmx.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(kind: str) -> AsyncIterator[str]:
    """Its URL."""
    if kind == "console":
        pages = console.ConsoleServer(LOOPBACK, ConsoleSettings(sign_in=True))
        yield (await pages.start("127.0.0.1:1")).rstrip("/")
        await pages.stop()
    else:
        numbers = metrics.MetricsServer(LOOPBACK, CollectorRegistry())
        yield (await numbers.start()).removesuffix("/metrics")
        await numbers.stop()


async def connected(url: str, says: bytes = b"") -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(says)
    return reader, writer


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What came before the end."""
    async with asyncio.timeout(WAIT_S):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "READ_S", READ_S)


@pytest.mark.parametrize("kind", ["console", "metrics"])
async def test_connections_that_say_nothing_are_few_and_short(kind: str) -> None:
    async with served(kind) as url:
        silent = [await connected(url) for _ in range(2 * LIMITS[kind])]
        began_s = asyncio.get_running_loop().time()
        beyond, writer = await connected(url)
        await closed(beyond)
        at_once_s = asyncio.get_running_loop().time() - began_s
        writer.close()
        for reader, writer in silent:
            assert await closed(reader) == b""
            writer.close()
        async with httpx.AsyncClient() as client:
            assert (await client.get(url + PAGES[kind])).status_code == 200
    assert at_once_s < READ_S


@pytest.mark.parametrize("says", [HEAD, HEAD + FORM, SCRIPT * 400], ids=["head", "body", "reading"])
async def test_who_does_not_end_a_request_or_read_an_answer_is_cut_off(says: bytes) -> None:
    async with served("console") as url:
        reader, writer = await connected(url, says)
        if says.startswith(SCRIPT):
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket has it
            await asyncio.sleep(4 * READ_S)  # for as long as that is: nothing tells whoever does not look
            writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
            got = await closed(reader)
            assert got.count(b"HTTP/1.1 200") < 400
        else:
            assert b"200" not in await closed(reader)
        writer.close()


async def test_who_goes_on_keeps_the_connection() -> None:
    async with served("console") as url:
        reader, writer = await connected(url)
        for _ in range(4):
            writer.write(b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(WAIT_S):
                assert b"200" in await reader.read(65_536)
            await asyncio.sleep(READ_S * 0.6)  # longer than READ_S in all, and within the idle time
        writer.close()
