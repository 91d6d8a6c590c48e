"""Trace context: what is packed comes back, and every node decides alike which sagas are recorded."""

from uuid import UUID

import pytest

from orchestrator.engine.tracing import TraceContext, attempt_span, root, saga_span, unpack

SAGA_ID = UUID("01980000-0000-7000-8000-000000000001")


@pytest.mark.parametrize("sampled", [True, False])
def test_what_is_packed_comes_back(sampled: bool) -> None:
    trace = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled)
    packed = trace.pack()
    assert len(packed) == 25
    assert unpack(packed) == trace


@pytest.mark.parametrize("packed", [b"", b"x" * 24, b"x" * 26])
def test_what_is_no_trace_is_none(packed: bytes) -> None:
    assert unpack(packed) is None


def test_a_root_has_the_sagas_own_id() -> None:
    assert root(SAGA_ID) == TraceContext(SAGA_ID.hex, "", sampled=False)


def test_spans_differ_by_whatever_makes_an_attempt_another_one() -> None:
    spans = {
        saga_span(SAGA_ID),
        attempt_span(SAGA_ID, "reserve", 1, 1, 1),
        attempt_span(SAGA_ID, "charge", 1, 1, 1),
        attempt_span(SAGA_ID, "reserve", 2, 1, 1),
        attempt_span(SAGA_ID, "reserve", 1, 2, 1),
        attempt_span(SAGA_ID, "reserve", 1, 1, 2),
    }
    assert len(spans) == 6
    assert all(len(span) == 16 for span in spans)
