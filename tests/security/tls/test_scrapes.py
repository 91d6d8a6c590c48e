"""Metrics over the node's TLS: renewed as everything else is, and with it whom it lets in."""

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from contracts.following import Follower
from contracts.tls import ServerTls
from orchestrator.telemetry.metrics_server import MetricsServer
from tests.fixtures.certificates import LOOPBACK, Authority, replace

WAIT_S = 10.0


async def scraped(url: str, node: Authority, own: tuple[Path, Path]) -> int:
    trust = ssl.create_default_context(cadata=node.certificate.decode())
    trust.load_cert_chain(*own)
    async with httpx.AsyncClient(verify=trust, timeout=WAIT_S) as client:
        return (await client.get(url)).status_code


async def test_renewed_files_count_for_the_next_connection(tmp_path: Path) -> None:
    before, after = Authority("before"), Authority("after")
    old, new = (each.issue("prometheus").write(tmp_path, name) for name, each in (("old", before), ("new", after)))
    ca = tmp_path / "ca.pem"
    ca.write_bytes(before.certificate)
    files = before.issue(*LOOPBACK).write(tmp_path, "node")
    follower = Follower(interval_s=60)
    server = MetricsServer("127.0.0.1:0", CollectorRegistry(), ServerTls(*files, ca), follower)
    url = await server.start()
    try:
        assert await scraped(url, before, old) == 200
        with pytest.raises(httpx.TransportError):
            await scraped(url, before, new)
        replace(ca, after.certificate)
        for file, fresh in zip(files, after.issue(*LOOPBACK).write(tmp_path, "fresh"), strict=True):
            replace(file, fresh.read_bytes())
        async with asyncio.timeout(WAIT_S):
            await follower.run_once()
        assert await scraped(url, after, new) == 200
        with pytest.raises(httpx.TransportError):
            await scraped(url, after, old)  # an authority that was taken out is trusted no more
    finally:
        await server.stop()
