"""What the interceptors of our servers have in common: each puts something around a method's handler, once."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import grpc

# Quoted: generic in the type stubs alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Wrapping(grpc.aio.ServerInterceptor):
    """Wraps the handler of each served method when it is first called. As many are kept as there are methods."""

    def __init__(self) -> None:
        self._wrapped: Final[dict[str, tuple[Handler, Handler]]] = {}

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """What :meth:`wrap` made of the handler; None for a method that is not served."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = handler, self.wrap(method, handler)
        return known[1]

    @abstractmethod
    def wrap(self, method: str, handler: "Handler") -> "Handler":
        """The handler with what this interceptor puts around it; itself where there is nothing to put.

        ``method`` is the path, such as ``/saga.v1.SagaService/StartSaga``.
        """
