"""Who is at the other end of a connection with mutual TLS, by the certificate that the handshake has verified."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

import grpc
from cryptography import x509

from contracts.errors import Reason, RpcError

_PEM: Final = "x509_pem_cert"
"""gRPC's name for the certificate that the peer itself holds."""
_MAX_CERTIFICATES: Final = 4096
"""Certificates whose meaning is kept; one more drops the one that was seen longest ago."""
_MAX_SPIFFE_ID_CHARS: Final = 2048
_SPIFFE_ID: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)*")
"""https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md, section 2."""


def is_spiffe_id(text: str) -> bool:
    """Whether it is ``spiffe://trust.domain/path``, in the one spelling that counts."""
    return len(text) <= _MAX_SPIFFE_ID_CHARS and _SPIFFE_ID.fullmatch(text) is not None


class HasAuthContext(Protocol):
    """What :func:`peer_of` asks of a ``grpc.aio.ServicerContext``, or of a synchronous one."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]] | Mapping[Any, Any]:
        """Properties of the connection's handshake."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The holder of a certificate of an authority that the server trusts."""

    spiffe_id: str | None
    """``spiffe://trust.domain/path``; None if the certificate names no URI, or one of another scheme."""
    expires_at: float
    """Seconds since 1970 from which on the certificate is worth nothing, also on an open connection."""


def peer_of(context: HasAuthContext, now: float | None = None) -> Peer | None:
    """The caller's certificate, or None if it presented none; ``now`` (seconds since 1970) is the wall clock's else.

    A few microseconds: certificates are read once. Raises :class:`RpcError` UNAUTHENTICATED for one that has lapsed
    since the handshake, and for one that does not say unambiguously who holds it: more than one URI, or a SPIFFE ID
    that is malformed.
    """
    presented = context.auth_context().get(_PEM)
    if not presented:
        return None
    peer = _read(bytes(next(iter(presented))))
    if isinstance(peer, str):
        raise _refusal(peer)
    if peer.expires_at <= (time.time() if now is None else now):
        raise _refusal("the client's certificate has lapsed since the connection was made: renew it and connect anew")
    return peer


@lru_cache(maxsize=_MAX_CERTIFICATES)
def _read(pem: bytes) -> Peer | str:
    """What the certificate says; as text, why it cannot be relied on."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        uris = _uris(certificate)
        expires_at = certificate.not_valid_after_utc.timestamp()
    except ValueError:  # the handshake took it, and we cannot read it: nobody is known by it
        return "the client's certificate cannot be read"
    if len(uris) > 1:
        return "the client's certificate names more than one URI, so that it is not clear who holds it: issue one URI"
    if not uris or not uris[0].lower().startswith("spiffe:"):
        return Peer(None, expires_at)
    if not is_spiffe_id(uris[0]):
        return "the client's certificate names a malformed SPIFFE ID: write spiffe://trust.domain/path"
    return Peer(uris[0], expires_at)


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _refusal(text: str) -> RpcError:
    return RpcError(grpc.StatusCode.UNAUTHENTICATED, Reason.UNAUTHENTICATED, text)
