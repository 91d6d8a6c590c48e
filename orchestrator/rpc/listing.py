"""What lists ask for and return: filters checked, pages bounded by size."""

from collections.abc import Iterable
from typing import Final, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from saga.v1 import saga_service_pb2 as pb

from orchestrator.core.state import SagaStatus
from orchestrator.engine.stored import SagaFilter, Visibility
from orchestrator.rpc.error_mapping import invalid, refuse_nul

_DEFAULT_PAGE_SIZE: Final = 50
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799
"""The years 1 to 9999, as ``google.protobuf.Timestamp`` has it."""

MessageT = TypeVar("MessageT", bound=Message)


def page_size(asked: int) -> int:
    """How many to list; the contract's rules bound ``asked`` already."""
    return asked or _DEFAULT_PAGE_SIZE


def first_that_fit(messages: Iterable[MessageT], max_bytes: int) -> list[MessageT]:
    """As many messages as ``max_bytes`` hold, and one at least. The rest belongs on the next page."""
    fitting: list[MessageT] = []
    total = 0
    for message in messages:
        total += message.ByteSize()
        if fitting and total > max_bytes:
            break
        fitting.append(message)
    return fitting


def saga_filter(given: pb.SagaFilter, visibility: Visibility) -> SagaFilter:
    """The filter as the store takes it, of what the caller may see.

    Raises INVALID_ARGUMENT for what the contract's rules cannot say.
    """
    refuse_nul("filter.definition", given.definition)
    refuse_nul("filter.concurrency_key", given.concurrency_key)
    states: list[SagaStatus] = []
    for index, number in enumerate(given.states):
        try:
            states.append(SagaStatus(number))
        except ValueError:
            raise invalid(f"filter.states[{index}]", f"{number} is no state of a saga") from None
    return SagaFilter(
        definition=given.definition or None,
        version=given.version or None,
        states=tuple(states),
        concurrency_key=given.concurrency_key or None,
        created_from_us=time_us(given, "create_time_from", "filter.create_time_from"),
        created_to_us=time_us(given, "create_time_to", "filter.create_time_to"),
        visibility=visibility,
    )


def time_us(given: Message, name: str, path: str) -> int | None:
    """A time of a request, in microseconds; None if it is not set. ``path`` is the field's, for the error.

    Raises INVALID_ARGUMENT beyond the years 1 to 9999.
    """
    if not given.HasField(name):
        return None
    time: Timestamp = getattr(given, name)
    if not (_FIRST_SECOND <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < 1_000_000_000):
        raise invalid(path, "must lie in the years 1 to 9999, with nanos of 0 to 999999999")
    return time.seconds * 1_000_000 + time.nanos // 1000
