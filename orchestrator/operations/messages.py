"""Small values as messages of the contract."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import saga_pb2

from orchestrator.core.events import Failure


def timestamp(at_us: int) -> Timestamp:
    """Microseconds since the Unix epoch as a message."""
    return Timestamp(seconds=at_us // 1_000_000, nanos=at_us % 1_000_000 * 1000)


def duration(us: int) -> Duration:
    """Microseconds, not below 0, as a message."""
    return Duration(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)


def failure_message(failure: Failure) -> saga_pb2.Failure:
    """The core's failure as a message."""
    return saga_pb2.Failure(code=failure.code, reason=failure.reason, message=failure.message)
