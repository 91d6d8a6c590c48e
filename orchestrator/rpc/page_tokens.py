"""Page tokens (AIP-158): where a list goes on, bound to what is listed and to what its caller may see.

Opaque to callers, and no secret.
"""

import base64
import binascii
import hashlib
from typing import Final

import grpc

from contracts.errors import Reason, RpcError
from orchestrator.rpc.identity import CURRENT

_SCOPE_BYTES: Final = 12


def encode_token(listing: bytes, position: bytes) -> str:
    """The token of ``position`` in ``listing``: the method and filter, serialized deterministically."""
    return base64.urlsafe_b64encode(_scope(listing) + position).decode("ascii")


def decode_token(token: str, listing: bytes, position_bytes: int) -> bytes | None:
    """The position that a token holds; None for the empty token of a first page.

    Raises INVALID_ARGUMENT ``PAGE_TOKEN`` for a token that is malformed, or was issued for another listing.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _SCOPE_BYTES + position_bytes:
        raise _refused("is malformed; pass the next_page_token of the page before, unchanged")
    if raw[:_SCOPE_BYTES] != _scope(listing):
        raise _refused("was issued for another filter or caller; keep the filter, or start again without a token")
    return raw[_SCOPE_BYTES:]


def _scope(listing: bytes) -> bytes:
    visibility = CURRENT.get().visibility
    if not visibility.is_total:
        tenants = None if visibility.tenants is None else sorted(set(visibility.tenants))
        listing = repr((listing, tenants, visibility.caller)).encode()
    return hashlib.sha256(listing).digest()[:_SCOPE_BYTES]


def _refused(what: str) -> RpcError:
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, Reason.PAGE_TOKEN, f"the page_token {what}")
