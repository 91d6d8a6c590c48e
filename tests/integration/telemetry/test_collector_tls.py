"""Spans go out over mutual TLS, and on by certificates that were renewed meanwhile."""

from pathlib import Path

import grpc

from tests.fixtures.certificates import LOOPBACK, Authority, replace
from tests.fixtures.collector import collecting
from tests.integration.telemetry.conftest import Stage


def demanding(authority: Authority) -> grpc.ServerCredentials:
    """Of a collector that knows this authority's clients alone."""
    own = authority.issue(*LOOPBACK)
    return grpc.ssl_server_credentials([(own.key, own.certificate)], authority.certificate, True)  # noqa: FBT003  (gRPC's)


async def test_a_node_proves_itself_and_follows_its_files(stage: Stage, tmp_path: Path) -> None:
    old, new = Authority("old"), Authority("new")
    ca = replace(tmp_path / "ca.pem", old.certificate)
    certificate, key = old.issue(*LOOPBACK).write(tmp_path, "node")
    files = {"traces_tls_ca_file": ca, "traces_tls_cert_file": certificate, "traces_tls_key_file": key}
    async with collecting(credentials=demanding(old)) as collector:
        url = collector.url
        node = await stage.node(traces_endpoint=url, traces_ratio=1, tls_check_interval_s=0.05, **files)
        saga_id = await stage.start(node)
        await stage.ends(node, saga_id)
        await collector.saga(saga_id)
    replace(ca, new.certificate)
    new.issue(*LOOPBACK).write(tmp_path, "node")
    async with collecting(int(url.rpartition(":")[2]), demanding(new)) as collector:
        # Spans of the moment before the renewal are lost to a collector that does not know the node yet.
        while not collector.spans:
            await stage.ends(node, await stage.start(node))
        saga_id = await stage.start(node)
        await stage.ends(node, saga_id)
        await collector.saga(saga_id)
        await node.stop()
