"""Whom a certificate names: one SPIFFE ID, or nobody, or a refusal; and only until it lapses."""

from datetime import timedelta

import grpc
import pytest

from contracts.errors import RpcError
from contracts.peer import Peer, peer_of
from tests.fixtures.certificates import Authority, Pair

AUTHORITY = Authority()
NODE = "spiffe://example.test/saga/node"


class Connection:
    """What gRPC tells of a connection."""

    def __init__(self, pair: Pair | None) -> None:
        self._pair = pair

    def auth_context(self) -> dict[str, list[bytes]]:
        secured = {"transport_security_type": [b"ssl"]}
        return secured if self._pair is None else secured | {"x509_pem_cert": [self._pair.certificate]}


def test_no_certificate_is_nobody() -> None:
    assert peer_of(Connection(None)) is None


@pytest.mark.parametrize(
    ("uris", "spiffe_id"),
    [
        ([NODE], NODE),
        (["spiffe://example.test"], "spiffe://example.test"),
        ([], None),
        (["https://example.test/saga/node"], None),
    ],
)
def test_one_uri_is_who_it_is(uris: list[str], spiffe_id: str | None) -> None:
    pair = AUTHORITY.issue("node.test", uris=uris)
    assert peer_of(Connection(pair)) == Peer(spiffe_id, pair.expires_at.timestamp())


@pytest.mark.parametrize(
    "uris",
    [
        [NODE, "spiffe://example.test/other"],
        [NODE, NODE],
        [NODE, "https://example.test"],
        ["spiffe://example.test/"],
        ["spiffe://example.test//node"],
        ["spiffe://example.test/../node"],
        ["spiffe://example.test/node?as=admin"],
        ["spiffe://user@example.test/node"],
        ["spiffe://example.test:443/node"],
        ["spiffe://EXAMPLE.test/node"],
        ["SPIFFE://example.test/node"],
        ["spiffe:example.test"],
        ["spiffe://example.test/" + "n" * 2048],
    ],
)
def test_what_is_not_plain_is_refused(uris: list[str]) -> None:
    with pytest.raises(RpcError) as refused:
        peer_of(Connection(AUTHORITY.issue(uris=uris)))
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


def test_a_certificate_counts_until_it_lapses_and_not_an_instant_longer() -> None:
    pair = AUTHORITY.issue(uris=[NODE], lifetime=timedelta(minutes=1))
    end = pair.expires_at.timestamp()
    assert peer_of(Connection(pair), end - 0.001) is not None
    with pytest.raises(RpcError, match="lapsed"):
        peer_of(Connection(pair), end)


def test_garbage_is_refused() -> None:
    pair = AUTHORITY.issue()
    with pytest.raises(RpcError, match="cannot be read"):
        peer_of(Connection(Pair(b"-----BEGIN CERTIFICATE-----\n", pair.key, pair.expires_at)))
