"""The keys of one issuer: read from where it publishes them, renewed as it rotates them, kept while it is away."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

from orchestrator.rpc.access.sources import Source, SourceError

MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048
_ALGORITHMS: Final = {("RSA", ""): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
"""The one algorithm that a key of each kind is for: a token never chooses how it is verified (RFC 8725, 3.1)."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A public key that verifies signatures by one algorithm."""

    kid: str
    algorithm: str
    public: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
    fingerprint: bytes


def read_keys(raw: bytes) -> dict[str, Key]:
    """The keys of a JWK set (RFC 7517) that verify tokens, by ``kid``; keys for anything else are passed over.

    Raises :class:`SourceError` if there is none, two have one name, or the set is none.
    """
    try:
        found = json.loads(raw)["keys"]
        if not isinstance(found, list) or len(found) > MAX_KEYS:
            raise SourceError(f"the key set is no list, or has more than {MAX_KEYS} keys")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SourceError("what was read is no key set in JSON") from None
    keys: dict[str, Key] = {}
    for key in filter(None, map(_read_key, found)):
        if key.kid in keys:
            raise SourceError("two keys of the set have the same kid")
        keys[key.kid] = key
    if not keys:
        raise SourceError("the set has no key with a kid for RS256 (2048 bits or more), ES256 or EdDSA (Ed25519)")
    return keys


def _read_key(jwk: Any) -> Key | None:
    if not isinstance(jwk, dict):
        return None
    kid, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    kind = str(jwk.get("kty"))
    algorithm = _ALGORITHMS.get((kind, "" if kind == "RSA" else str(jwk.get("crv"))))
    usable = (
        isinstance(kid, str)
        and 0 < len(kid) <= 256
        and algorithm is not None
        and jwk.get("alg", algorithm) == algorithm
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )
    if not usable:
        return None
    try:
        public = PyJWK(jwk, algorithm).key
    except Exception:  # whatever a key makes a library raise, it is none
        return None
    if not isinstance(public, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):  # a private one
        return None
    if isinstance(public, RSAPublicKey) and public.key_size < MIN_RSA_BITS:
        return None
    fingerprint = hashlib.sha256(json.dumps(jwk, sort_keys=True).encode()).digest()
    return Key(str(kid), str(algorithm), public, fingerprint)


class IssuerKeys:
    """One issuer's. Nothing is read but by one task at a time, and a call waits for it only if its key is unknown."""

    def __init__(
        self,
        issuer: str,
        source: Source,
        *,
        timeout_s: float,
        max_age_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``issuer`` is its name in the policy, for the log."""
        self._issuer: Final = issuer
        self._source: Final = source
        self._timeout_s: Final = timeout_s
        self._max_age_s: Final = max_age_s
        self._monotonic_s: Final = monotonic_s
        self._keys: Mapping[str, Key] = {}
        self._good_s = -inf
        self._tried_s = -inf
        self._reading: asyncio.Task[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether there are keys, and the source has been there within their greatest age."""
        return self._monotonic_s() < self._good_s + self._max_age_s

    def holds(self, key: Key) -> bool:
        """Whether tokens that the key has signed count still."""
        return self._keys.get(key.kid) is key and self.usable

    async def find(self, kid: str) -> Key | None:
        """The key of that name. One that is unknown has the source read, if that was not done just now."""
        key = self._get(kid)
        if key is None and (self._is_reading or self._since_tried_s() >= self._source.refetch_interval_s):
            await asyncio.shield(self.read())
            key = self._get(kid)
        return key

    def read_if_due(self) -> None:
        """To be called now and then. Begins to read the source, and does not wait for it."""
        failed = self._tried_s > self._good_s
        interval_s = self._source.refetch_interval_s if failed else self._source.refresh_interval_s
        if not self._is_reading and self._since_tried_s() >= interval_s:
            self.read()

    def read(self) -> asyncio.Task[None]:
        """Reads the source; who comes meanwhile shares that. The task never fails, and ends within the timeout."""
        if self._reading is None or self._reading.done():
            self._tried_s = self._monotonic_s()
            self._reading = asyncio.get_running_loop().create_task(self._read())
        return self._reading

    async def stop(self) -> None:
        """Gives up what is being read."""
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
            await asyncio.wait([self._reading])

    @property
    def _is_reading(self) -> bool:
        return self._reading is not None and not self._reading.done()

    def _since_tried_s(self) -> float:
        return self._monotonic_s() - self._tried_s

    def _get(self, kid: str) -> Key | None:
        return self._keys.get(kid) if self.usable else None

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                raw = await self._source.read()
            if raw is not None:
                self._take(read_keys(raw))
        except TimeoutError:
            self._failed(f"it took longer than {self._timeout_s} s")
        except SourceError as error:
            self._failed(str(error))
        except Exception as error:  # a defect, and no reason to forget the keys that there are
            self._failed(type(error).__qualname__)
        else:
            self._good_s = self._monotonic_s()

    def _take(self, fresh: dict[str, Key]) -> None:
        """A key that stays is the same object: whoever it has let in stays in."""
        for kid, key in fresh.items():
            old = self._keys.get(kid)
            if old is not None and old.fingerprint == key.fingerprint:
                fresh[kid] = old
        if set(fresh.values()) != set(self._keys.values()):
            _log.info("issuer_keys_read", issuer=self._issuer, keys=len(fresh))
        self._keys = fresh

    def _failed(self, why: str) -> None:
        rest_s = self._good_s + self._max_age_s - self._monotonic_s()
        _log.warning(
            "issuer_keys_unreadable", issuer=self._issuer, why=why, last_good_count_for_s=max(0, int(max(rest_s, 0)))
        )
