"""The API as the console calls it: every call with a deadline and the viewer's own token, every error in words."""

from typing import TYPE_CHECKING, Final, TypeVar

import grpc
from google.protobuf.message import Message

from orchestrator.console.problems import ApiError, ForbiddenError, Problem, TokenRefusedError, problem_of
from orchestrator.console.settings import ConsoleSettings

if TYPE_CHECKING:
    from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceAsyncStub  # in the stubs alone

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class OperatorApi:
    """``await api.read(api.stub.ListNodes, request)``.

    Every call raises :class:`ApiError`, and two that no page answers itself: :class:`TokenRefusedError` if
    the node does not know the viewer (any more), :class:`ForbiddenError` if it does and refuses.
    """

    def __init__(self, stub: "SagaOperatorServiceAsyncStub", settings: ConsoleSettings, token: str = "") -> None:
        """Without a token nothing is called where viewers have to sign in: the console has no rights of its own."""
        self.stub: Final = stub
        self._settings: Final = settings
        self._token: Final = token

    def as_bearer(self, token: str) -> "OperatorApi":
        """The same on behalf of whoever the token stands for."""
        return OperatorApi(self.stub, self._settings, token)

    async def read(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
    ) -> ResponseT:
        """Asks."""
        return await self._call(method, request, self._settings.read_timeout_s)

    async def act(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
    ) -> ResponseT:
        """Asks for something to be done, or for its dry run."""
        return await self._call(method, request, self._settings.act_timeout_s)

    async def _call(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT, timeout_s: float
    ) -> ResponseT:
        if self._settings.sign_in and not self._token:
            raise TokenRefusedError(Problem(401, "Nobody has signed in.", "Sign in first."))
        metadata = (("authorization", f"Bearer {self._token}"),) if self._token else None
        try:
            return await method(request, timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            problem = problem_of(error)
            if error.code() == grpc.StatusCode.UNAUTHENTICATED and self._token:
                raise TokenRefusedError(problem) from error
            if error.code() == grpc.StatusCode.PERMISSION_DENIED:
                raise ForbiddenError(problem, type(request).__name__.removesuffix("Request")) from error
            raise ApiError(problem) from error
