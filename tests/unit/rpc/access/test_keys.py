"""Keys of an issuer: which are taken, and when they are read, kept and given up."""

import asyncio
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from orchestrator.rpc.access.keys import MAX_KEYS, IssuerKeys, read_keys
from orchestrator.rpc.access.sources import SourceError
from tests.fixtures.tokens import TokenIssuer, new_key

GOOD = new_key("good")


def key_set(*jwks: Any) -> bytes:
    return json.dumps({"keys": list(jwks)}).encode()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_key_is_for_the_algorithm_of_its_kind(algorithm: str) -> None:
    jwk = new_key("k", algorithm).jwk
    (key,) = read_keys(key_set({name: value for name, value in jwk.items() if name not in ("alg", "use")})).values()
    assert (key.kid, key.algorithm) == ("k", algorithm)


def weak() -> dict[str, Any]:
    public = rsa.generate_private_key(65537, 1024).public_key()
    return {**RSAAlgorithm.to_jwk(public, as_dict=True), "kid": "x"}


def another_curve() -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True), "kid": "x"}


@pytest.mark.parametrize(
    "jwk",
    [
        {**GOOD.jwk, "kid": "x", "use": "enc"},
        {**GOOD.jwk, "kid": "x", "alg": "ES384"},
        {**GOOD.jwk, "kid": "x", "alg": "none"},
        {**GOOD.jwk, "kid": "x", "key_ops": ["sign"]},
        {**GOOD.jwk, "kid": "x", "key_ops": "verify"},
        {**GOOD.jwk, "kid": "x", "x": "AAAA"},
        {**GOOD.jwk, "kid": "x", "crv": ["P-256"]},
        {**GOOD.jwk, "kid": 7},
        {**GOOD.jwk, "kid": ""},
        {name: value for name, value in GOOD.jwk.items() if name != "kid"},
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "x", "alg": "HS256"},
        {**ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True), "kid": "x"},
        weak(),
        another_curve(),
        "x",
        None,
    ],
)
def test_what_is_no_key_for_us_is_passed_over(jwk: Any) -> None:
    assert set(read_keys(key_set(jwk, GOOD.jwk))) == {"good"}
    with pytest.raises(SourceError, match="no key"):
        read_keys(key_set(jwk))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"key": []}',
        b"\xff",
        b"[" * 100_000,
        key_set(GOOD.jwk, {**new_key("x").jwk, "kid": "good"}),
        key_set(*[GOOD.jwk] * (MAX_KEYS + 1)),
    ],
)
def test_what_is_no_key_set_is_refused(raw: bytes) -> None:
    with pytest.raises(SourceError):
        read_keys(raw)


class Played:
    """A source, and a clock that a test sets."""

    refresh_interval_s = 300.0
    refetch_interval_s = 10.0

    def __init__(self) -> None:
        self.issuer = TokenIssuer()
        self.now_s = 1000.0
        self.reads = 0
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.keys = IssuerKeys("login", self, timeout_s=5.0, max_age_s=3600.0, monotonic_s=lambda: self.now_s)

    async def read(self) -> bytes | None:
        self.reads += 1
        await self.gate.wait()
        if self.away:
            raise SourceError("it is away")
        return self.issuer.jwks()


async def test_an_unknown_key_is_fetched_once_for_all_who_wait() -> None:
    source = Played()
    source.gate.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        found = [tasks.create_task(source.keys.find("first")) for _ in range(20)]
        await asyncio.sleep(0)
        source.gate.set()
    assert {key.kid for task in found if (key := task.result())} == {"first"}
    assert source.reads == 1
    await source.keys.find("first")
    assert source.reads == 1, "a known key is not fetched"


async def test_unknown_keys_cause_one_fetch_in_an_interval() -> None:
    source = Played()
    for kid in map(str, range(100)):
        assert await source.keys.find(kid) is None
    assert source.reads == 1
    source.issuer.rotate("second")
    assert await source.keys.find("second") is None, "too early"
    source.now_s += 10
    assert await source.keys.find("second") is not None
    assert source.reads == 2


async def test_keys_are_renewed_now_and_then_and_sooner_after_a_failure() -> None:
    source = Played()

    async def look(after_s: float) -> int:
        source.now_s += after_s
        source.keys.read_if_due()
        await source.keys.read() if source.keys._is_reading else None
        return source.reads

    assert await look(0) == 1
    assert await look(299) == 1
    source.away = True
    assert await look(1) == 2
    assert await look(9) == 2
    assert await look(1) == 3
    source.away = False
    assert await look(10) == 4
    assert await look(10) == 4


async def test_the_last_good_keys_count_until_they_are_too_old() -> None:
    source = Played()
    key = await source.keys.find("first")
    assert key is not None
    source.away = True
    source.now_s += 3599
    assert await source.keys.find("first") is key
    assert source.keys.holds(key)
    source.now_s += 1
    assert not source.keys.holds(key)
    assert await source.keys.find("first") is None
    assert not source.keys.usable
    source.away = False
    source.now_s += 10
    assert await source.keys.find("first") is key
    assert source.keys.holds(key)


async def test_a_key_that_stays_is_the_same_and_one_that_goes_is_none() -> None:
    source = Played()
    first = await source.keys.find("first")
    assert first is not None
    source.issuer.rotate("second")
    await source.keys.read()
    assert source.keys.holds(first)
    source.issuer.keys = [new_key("first")]  # the name of the old one
    await source.keys.read()
    assert not source.keys.holds(first)
    source.issuer.keys = []
    await source.keys.read()
    assert await source.keys.find("first") is not None, "an empty set is a failure, and no set"


async def test_a_source_that_hangs_is_given_up() -> None:
    source = Played()
    source.gate.clear()
    source.keys = IssuerKeys("login", source, timeout_s=0.01, max_age_s=3600.0)
    async with asyncio.timeout(5):
        assert await source.keys.find("first") is None
    await source.keys.stop()
