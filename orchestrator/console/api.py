"""The API as the console calls it: every call with a deadline, every error as an :class:`ApiError`."""

from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub

from orchestrator.console.problems import ApiError, problem_of
from orchestrator.console.settings import ConsoleSettings

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class OperatorApi:
    """``await api.read(api.stub.ListNodes, request)``."""

    def __init__(self, channel: grpc.aio.Channel, settings: ConsoleSettings) -> None:
        self.stub: Final = SagaOperatorServiceStub(channel)
        self._settings: Final = settings

    async def read(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
    ) -> ResponseT:
        """Asks. Raises :class:`ApiError`."""
        return await _call(method, request, self._settings.read_timeout_s)

    async def act(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
    ) -> ResponseT:
        """Asks for something to be done, or for its dry run. Raises :class:`ApiError`."""
        return await _call(method, request, self._settings.act_timeout_s)


async def _call(
    method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT, timeout_s: float
) -> ResponseT:
    try:
        return await method(request, timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        raise ApiError(problem_of(error)) from error
