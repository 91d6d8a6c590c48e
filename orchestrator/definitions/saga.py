"""How a saga is declared in Python. Nothing is checked here: :func:`orchestrator.definitions.loading.load` says
everything that is wrong at once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Never, ParamSpec, TypeAlias, TypeVar, overload

from google.protobuf.message import Message
from grpc import StatusCode

from contracts.method import Method
from orchestrator.core.definition import PERSISTENT_RETRY, RetryPolicy, StepKind
from orchestrator.core.outcome import Outcome

P = ParamSpec("P")
Q = ParamSpec("Q")
InputT = TypeVar("InputT", bound=Message)
OutputT = TypeVar("OutputT", bound=Message)
RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
CompensationT = TypeVar("CompensationT", bound=Message)

Kind: TypeAlias = StepKind | Literal["compensatable", "pivot", "retriable", "read_only"]
Reclassify: TypeAlias = Mapping[StatusCode, Outcome]

_NO_CODES: Final[Reclassify] = {}


@dataclass(frozen=True, slots=True)
class StepOptions:
    """What a step declares beside its method and builder; see :meth:`Saga.step`."""

    kind: Kind | None
    after: "tuple[Step[..., Any, Any] | str, ...]"
    retry: RetryPolicy | None
    compensation_retry: RetryPolicy
    timeout_s: float
    compensation_timeout_s: float
    reclassify: Reclassify
    compensation_reclassify: Reclassify


class Step(Generic[P, RequestT, ResponseT]):
    """A declared step. Calling it calls its builder, so that a builder is tested like any function."""

    __slots__ = ("builder", "compensations", "method", "options")

    def __init__(
        self, method: Method[RequestT, ResponseT], builder: Callable[P, RequestT], options: StepOptions
    ) -> None:
        self.method: Final = method
        self.builder: Final = builder
        self.options: Final = options
        self.compensations: Final[list[Callable[..., Message]]] = []

    @property
    def name(self) -> str:
        """The builder's own name: it names the step in journals, idempotency keys and other builders' parameters."""
        return getattr(self.builder, "__name__", repr(self.builder))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> RequestT:
        """The request of the action."""
        return self.builder(*args, **kwargs)

    def compensation(self, builder: Callable[Q, CompensationT]) -> Callable[Q, CompensationT]:
        """Declare how the request of the compensation is built; its method stands in the participant's contract.

        Responses arrive as ``X | None``: the outcome of an action may be unknown, and its effect must be undone all
        the same.
        """
        self.compensations.append(builder)
        return builder


class Saga(Generic[InputT, OutputT]):
    """A definition as its author writes it: a name, a version and a graph of steps.

    A builder is a pure function: no I/O, no clock, no randomness. A parameter named after an earlier step receives that
    step's response, and so draws an edge of the graph; one annotated with the input type receives the input.
    """

    @overload
    def __init__(
        self: "Saga[InputT, Never]",
        name: str,
        *,
        version: int,
        input: type[InputT],
        output: None = None,
        deadline_s: float = 600.0,
        concurrency_key: Callable[[InputT], str] | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self,
        name: str,
        *,
        version: int,
        input: type[InputT],
        output: type[OutputT],
        deadline_s: float = 600.0,
        concurrency_key: Callable[[InputT], str] | None = None,
    ) -> None: ...

    def __init__(
        self,
        name: str,
        *,
        version: int,
        input: type[InputT],  # noqa: A002  (the word of the declaration, and a keyword only)
        output: type[OutputT] | None = None,
        deadline_s: float = 600.0,
        concurrency_key: Callable[[InputT], str] | None = None,
    ) -> None:
        """``deadline_s``: seconds from start to when the saga must have ended.

        ``concurrency_key``: one saga of this name at a time may hold the key that it returns.
        """
        self.name: Final = name
        self.version: Final = version
        self.input: Final = input
        self.output: Final = output
        self.deadline_s: Final = deadline_s
        self.steps: Final[list[Step[..., Any, Any]]] = []
        self.results: Final[list[Callable[..., Message]]] = []
        self.concurrency_keys: Final[list[Callable[[InputT], str]]] = []
        if concurrency_key is not None:
            self.concurrency_keys.append(concurrency_key)

    def step(
        self,
        method: Method[RequestT, ResponseT],
        *,
        kind: Kind | None = None,
        after: "Iterable[Step[..., Any, Any] | str]" = (),
        retry: RetryPolicy | None = None,
        compensation_retry: RetryPolicy = PERSISTENT_RETRY,
        timeout_s: float = 10.0,
        compensation_timeout_s: float = 10.0,
        reclassify: Reclassify = _NO_CODES,
        compensation_reclassify: Reclassify = _NO_CODES,
    ) -> Callable[[Callable[P, RequestT]], Step[P, RequestT, ResponseT]]:
        """Declare a step that calls ``method``; the decorated function builds the request and names the step.

        ``kind``: by default compensatable, or read-only for a method with ``idempotency_level = NO_SIDE_EFFECTS``.
        ``after``: steps, or names of steps, that must succeed first although no data flows from them.
        ``retry``: by default some minutes' worth; ``PERSISTENT_RETRY``, a day's, for a retriable step and for every
        compensation, because a saga that gives up on one of those is stuck.
        ``timeout_s``: deadline of one attempt, in seconds.
        ``reclassify``: what a status code means at this step, where the table of outcomes says something else.
        The ``compensation_`` ones do the same for the step's compensation.
        """
        options = StepOptions(
            kind=kind,
            after=(after,) if isinstance(after, str | Step) else tuple(after),
            retry=retry,
            compensation_retry=compensation_retry,
            timeout_s=timeout_s,
            compensation_timeout_s=compensation_timeout_s,
            reclassify=dict(reclassify),
            compensation_reclassify=dict(compensation_reclassify),
        )

        def declare(builder: Callable[P, RequestT]) -> Step[P, RequestT, ResponseT]:
            declared = Step(method, builder, options)
            self.steps.append(declared)
            return declared

        return declare

    def result(self, builder: Callable[P, OutputT]) -> Callable[P, OutputT]:
        """Declare how the output is built from the input and the responses, once every step has succeeded."""
        self.results.append(builder)
        return builder

    def concurrency_key(self, key: Callable[[InputT], str]) -> Callable[[InputT], str]:
        """Declare the concurrency key by a function, where an expression is not enough."""
        self.concurrency_keys.append(key)
        return key
