"""Bearer tokens: JWTs that an issuer of the policy has signed. What is wrong with one is said, never what is in it."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import jwt
from jwt import exceptions as wrong

from contracts.errors import Reason, RpcError
from orchestrator.rpc.access.keys import IssuerKeys, Key
from orchestrator.rpc.access.policy import Grant, Issuer, Policy, Subject
from orchestrator.rpc.access.policy_file import MAX_NAME_CHARS

MAX_TOKEN_CHARS: Final = 8192
REQUIRED: Final = ("iss", "aud", "exp", "nbf", "sub")
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What a token may call itself: signed by the same issuer, other kinds were not made for us (RFC 8725, 3.11)."""
_TOLD: Final[tuple[tuple[type[Exception], str], ...]] = (
    (wrong.ExpiredSignatureError, "it has expired"),
    (wrong.ImmatureSignatureError, "it does not count yet"),
    (wrong.InvalidAudienceError, "it is for another audience"),
    (wrong.MissingRequiredClaimError, f"it must have {', '.join(REQUIRED)}"),
    (wrong.InvalidSignatureError, "its signature is not that of its issuer's key"),
    (wrong.InvalidAlgorithmError, "its algorithm is not that of its key"),
)


@dataclass(frozen=True, slots=True)
class Proven:
    """A token that was verified, and what the policy gives to its bearer."""

    subject: Subject
    grant: Grant | None
    expires_at: float
    key: Key
    keys: IssuerKeys

    def counts(self, now: float) -> bool:
        """Whether it counts still: it has not expired, and its issuer stands by the key."""
        return now < self.expires_at and self.keys.holds(self.key)


class Tokens:
    """Verifies tokens under one version of the policy, and remembers those that it has verified."""

    def __init__(self, policy: Policy, keys: Mapping[str, IssuerKeys], *, leeway_s: float, max_cached: int) -> None:
        """``keys`` are by the issuer's name in the policy."""
        self._policy: Final = policy
        self._keys: Final = keys
        self._leeway_s: Final = leeway_s
        self._max_cached: Final = max_cached
        self._claims: Final = {name: policy.claims_of(name) for name in keys}
        self._cache: Final[OrderedDict[bytes, Proven]] = OrderedDict()

    async def verify(self, token: str, now: float) -> Proven:
        """Who bears it; ``now`` in seconds since 1970.

        Raises :class:`RpcError`: UNAUTHENTICATED, or UNAVAILABLE if the keys of its issuer are not to be had.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._cache.get(digest)
        if known is not None:
            if known.counts(now):
                self._cache.move_to_end(digest)
                return known
            del self._cache[digest]
        proven = await self._verify(token)
        self._cache[digest] = proven
        if len(self._cache) > self._max_cached:
            self._cache.popitem(last=False)
        return proven

    async def _verify(self, token: str) -> Proven:
        kid, issuer = self._read_unverified(token)
        keys = self._keys[issuer.name]
        key = await keys.find(kid)
        if key is None:
            if not keys.usable:
                raise _keys_away()
            raise refused_token("its key is none of its issuer's")
        try:
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[key.algorithm],
                audience=issuer.audiences,
                issuer=issuer.issuer,
                leeway=self._leeway_s,
                options={"require": list(REQUIRED)},
            )
            subject = _subject(issuer, claims, self._claims[issuer.name])
            expires_at = int(claims["exp"]) + self._leeway_s
        except RpcError:
            raise
        except Exception as error:  # whatever a token makes a library raise, it is not let in
            raise refused_token(_why(error)) from None
        return Proven(subject, self._policy.grant(subject, expires_at), expires_at, key, keys)

    def _read_unverified(self, token: str) -> tuple[str, Issuer]:
        """The names of key and issuer, which decide by what the token is judged, and nothing else."""
        if len(token) > MAX_TOKEN_CHARS:
            raise refused_token(f"it has more than {MAX_TOKEN_CHARS} characters")
        try:
            header = jwt.get_unverified_header(token)
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except Exception:  # as above
            raise refused_token("it is no signed JWT") from None
        kid, kind = header.get("kid"), header.get("typ", "JWT")
        if "crit" in header or not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise refused_token("its header asks for what this server does not do")
        if not isinstance(kid, str):
            raise refused_token("its header must name its key by kid")
        known = self._policy.issuers.get(issuer) if isinstance(issuer, str) else None
        if known is None:
            raise refused_token("its issuer is none that this node trusts")
        return kid, known


def _subject(issuer: Issuer, claims: Mapping[str, Any], asked: frozenset[str]) -> Subject:
    name = f"{issuer.name}/{claims['sub']}"
    if not claims["sub"] or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise refused_token(f"its sub must be 1 to {MAX_NAME_CHARS - len(issuer.name) - 1} printable characters")
    return Subject(name, issuer.name, {each: _values(claims[each]) for each in asked if each in claims})


def _values(claim: Any) -> frozenset[str]:
    """A claim is a text, or a list of which one will do."""
    return frozenset(each for each in (claim if isinstance(claim, list) else [claim]) if isinstance(each, str))


def _why(error: Exception) -> str:
    return next((told for kind, told in _TOLD if isinstance(error, kind)), "it is malformed")


def refused_token(why: str) -> RpcError:
    """UNAUTHENTICATED: a token was presented, and does not count."""
    return RpcError(grpc.StatusCode.UNAUTHENTICATED, Reason.UNAUTHENTICATED, f"the token is refused: {why}")


def _keys_away() -> RpcError:
    text = "the keys of the token's issuer cannot be read at present; repeat the call later"
    return RpcError(grpc.StatusCode.UNAVAILABLE, Reason.KEYS_UNAVAILABLE, text, retry_delay_s=5.0)
