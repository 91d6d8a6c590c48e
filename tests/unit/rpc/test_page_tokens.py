"""Page tokens survive the way to the caller and back, and nothing else does."""

import pytest

from contracts.errors import RpcError
from orchestrator.rpc.page_tokens import decode_token, encode_token


def test_a_token_returns_its_position() -> None:
    token = encode_token(b"list", b"12345678")
    assert decode_token(token, b"list", 8) == b"12345678"
    assert len(token) < 512


def test_the_first_page_has_none() -> None:
    assert decode_token("", b"list", 8) is None


@pytest.mark.parametrize("token", ["x", "====", "é", "A" * 511, encode_token(b"list", b"1234567")])
def test_a_malformed_token(token: str) -> None:
    with pytest.raises(RpcError, match="malformed") as caught:
        decode_token(token, b"list", 8)
    assert caught.value.reason == "PAGE_TOKEN"


def test_a_token_of_another_listing() -> None:
    with pytest.raises(RpcError, match="another filter"):
        decode_token(encode_token(b"other", b"12345678"), b"list", 8)
