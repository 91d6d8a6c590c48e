"""How a call that a server served has ended, by the name of its status."""

from typing import Any, Final, TypeAlias, cast

import grpc

# Quoted: generic in the type stubs alone.
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

CODE_NAMES: Final[dict[int, str]] = {code.value[0]: code.name for code in grpc.StatusCode}
"""By number."""


def code_name(context: _Context, *, is_cut_short: bool) -> str:
    """The status once the handler is over. One that was cut short without any was cancelled by its caller."""
    told = cast("Any", context).code()  # a number, None, or what the handler set
    number = told.value[0] if isinstance(told, grpc.StatusCode) else int(told or 0)
    return "CANCELLED" if is_cut_short and number == 0 else CODE_NAMES.get(number, "UNKNOWN")
