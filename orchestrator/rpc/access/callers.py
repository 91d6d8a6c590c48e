"""Finds out who makes a call, under one version of the policy: by its token, or by its connection's certificate."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import grpc

from contracts.errors import Reason, RpcError
from contracts.peer import Peer, peer_of
from orchestrator.rpc.access.policy import Grant, Policy, Subject
from orchestrator.rpc.access.tokens import Proven, Tokens, refused_token
from orchestrator.rpc.calls import Context

_SCHEME: Final = "bearer "
_MAX_CERTIFICATES: Final = 4096


@dataclass(frozen=True, slots=True)
class Certified:
    """The holder of a certificate, and what the policy gives to it."""

    subject: Subject
    grant: Grant | None
    expires_at: float

    def counts(self, now: float) -> bool:
        """Whether the certificate counts still."""
        return now < self.expires_at


class Callers:
    """Answers within microseconds for whoever called before."""

    def __init__(self, policy: Policy, tokens: Tokens) -> None:
        self._policy: Final = policy
        self._tokens: Final = tokens
        self._certified: Final[OrderedDict[Peer, Certified]] = OrderedDict()

    async def of(self, context: Context, now: float) -> Proven | Certified:
        """Who calls; ``now`` in seconds since 1970. A token that is presented decides alone.

        Raises :class:`RpcError`: UNAUTHENTICATED without a token or certificate that counts, or with a token that does
        not; UNAVAILABLE if the keys that would tell are away.
        """
        token = _bearer(context)
        if token is not None:
            return await self._tokens.verify(token, now)
        peer = peer_of(context, now)
        if peer is None:
            raise _unauthenticated("who calls? Present a client certificate with a SPIFFE ID, or a bearer token")
        if peer.spiffe_id is None:
            raise _unauthenticated("the client's certificate names no SPIFFE ID, and no bearer token was presented")
        known = self._certified.get(peer)
        if known is None:
            known = self._certified[peer] = self._certify(peer.spiffe_id, peer.expires_at)
            if len(self._certified) > _MAX_CERTIFICATES:
                self._certified.popitem(last=False)
        return known

    def grant(self, caller: Proven | Certified) -> Grant | None:
        """What this version of the policy gives to somebody who was let in under another one."""
        return self._policy.grant(caller.subject, caller.expires_at)

    def _certify(self, spiffe_id: str, expires_at: float) -> Certified:
        subject = Subject(spiffe_id)
        return Certified(subject, self._policy.grant(subject, expires_at), expires_at)


def _bearer(context: Context) -> str | None:
    presented = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if not presented:
        return None
    value = presented[0]
    if len(presented) > 1 or not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        raise refused_token('send one metadata entry "authorization", with "Bearer " before the token')
    return value[len(_SCHEME) :].strip()


def _unauthenticated(text: str) -> RpcError:
    return RpcError(grpc.StatusCode.UNAUTHENTICATED, Reason.UNAUTHENTICATED, text)
