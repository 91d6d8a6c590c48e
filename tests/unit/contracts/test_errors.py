"""Errors there and back, and readers that survive garbage."""

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from saga.v1.error_pb2 import ErrorReason

from contracts.errors import (
    DETAILS_KEY,
    Reason,
    RpcError,
    error_info,
    from_status,
    retry_delay_s,
    to_status,
    to_trailers,
)
from contracts.rules import Violation


def full() -> RpcError:
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "BAD",
        "a message",
        domain="test.v1",
        metadata={"k": "v"},
        violations=[Violation("a.b", "must be set")],
        retry_delay_s=0.25,
        trailers=[("t", "1")],
    )


def test_reasons_are_those_of_the_contract() -> None:
    named = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118  (an enum wrapper, no dict)
    assert set(Reason) == named - {"UNSPECIFIED"}


def test_there_and_back() -> None:
    status = Status.FromString(to_status(full()).SerializeToString())
    assert vars(from_status(status, trailers=[("t", "1")])) == vars(full())


def test_exactly_one_error_info() -> None:
    kinds = [detail.TypeName() for detail in to_status(full()).details]
    assert kinds == [kind.DESCRIPTOR.full_name for kind in (ErrorInfo, BadRequest, RetryInfo)]
    bare = RpcError(grpc.StatusCode.NOT_FOUND, "GONE", "gone")
    assert [detail.TypeName() for detail in to_status(bare).details] == ["google.rpc.ErrorInfo"]


def test_readers() -> None:
    trailers = to_trailers(full())
    info = error_info(trailers)
    assert info is not None
    assert (info.domain, info.reason, dict(info.metadata)) == ("test.v1", "BAD", {"k": "v"})
    assert retry_delay_s(trailers) == 0.25
    assert retry_delay_s(to_trailers(RpcError(grpc.StatusCode.ABORTED, "X", "x", retry_delay_s=0))) == 0


@pytest.mark.parametrize("trailers", [None, (), ((DETAILS_KEY, "text"),), (("other", b"x"),), ((DETAILS_KEY, b""),)])
def test_nothing_to_read(trailers: tuple[tuple[str, str | bytes], ...] | None) -> None:
    assert error_info(trailers) is None
    assert retry_delay_s(trailers) is None


def test_hostile_details() -> None:
    status = Status(code=3)
    status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    status.details.add().Pack(RetryInfo())
    status.details[1].value = b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10\x01"
    trailers = ((DETAILS_KEY, status.SerializeToString()),)
    assert error_info(trailers) is None
    assert isinstance(retry_delay_s(trailers), float | None)
    assert error_info(((DETAILS_KEY, b"\x12" * 10_000_000),)) is None


@given(st.binary(max_size=300))
def test_garbage_never_raises(garbage: bytes) -> None:
    error_info(((DETAILS_KEY, garbage),))
    retry_delay_s(((DETAILS_KEY, garbage),))
    nested = Status(code=3)
    nested.details.add(type_url="x/google.rpc.RetryInfo", value=garbage)
    retry_delay_s(((DETAILS_KEY, nested.SerializeToString()),))
