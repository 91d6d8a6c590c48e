"""What each RPC takes, and what each role gives: two tables. A method that is in none is nobody's."""

from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum, auto
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from orchestrator.rpc.access.errors import PermissionMissing

OPERATOR_SERVICE: Final = "saga.v1.SagaOperatorService"
START_SAGA: Final = "/saga.v1.SagaService/StartSaga"


class Role(StrEnum):
    """As the policy file spells them."""

    STARTER = "starter"
    READER = "reader"
    OPERATOR = "operator"
    ADMIN = "admin"


class Permission(Enum):
    """What a method takes of its caller."""

    OPEN = auto()
    """Nothing, not even a name."""
    KNOWN = auto()
    """To be in the policy."""
    START = auto()
    """Starts a saga of a definition."""
    FOLLOW = auto()
    """Reads one saga, as whoever started it does."""
    CANCEL = auto()
    READ = auto()
    OPERATE = auto()
    """Acts on sagas that others started."""
    ADMINISTER = auto()
    """Concerns every tenant."""


_P = Permission

ROLES: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.STARTER: frozenset({_P.KNOWN, _P.START, _P.FOLLOW, _P.CANCEL}),
    Role.READER: frozenset({_P.KNOWN, _P.FOLLOW, _P.READ}),
    Role.OPERATOR: frozenset({_P.KNOWN, _P.FOLLOW, _P.READ, _P.CANCEL, _P.OPERATE}),
    Role.ADMIN: frozenset(set(Permission) - {_P.OPEN}),
}
"""What each role may do. Whose sagas it may do it to, and whether payloads are shown, is the scope's matter."""


def _methods(service: str, **permissions: Permission) -> dict[str, Permission]:
    return {f"/{service}/{name}": permission for name, permission in permissions.items()}


METHODS: Final[Mapping[str, Permission]] = {
    **_methods(
        "saga.v1.SagaService",
        StartSaga=_P.START,
        GetSaga=_P.FOLLOW,
        WaitSaga=_P.FOLLOW,
        WatchSaga=_P.FOLLOW,
        ListSagas=_P.READ,
        ListSagaEvents=_P.READ,
        CancelSaga=_P.CANCEL,
    ),
    **_methods(
        OPERATOR_SERVICE,
        SearchSagas=_P.READ,
        CountSagas=_P.READ,
        GetSagaDetails=_P.READ,
        ExplainSaga=_P.READ,
        GetOverview=_P.READ,
        RetryNow=_P.OPERATE,
        RetryCompensation=_P.OPERATE,
        SkipStep=_P.OPERATE,
        ForceCompensation=_P.OPERATE,
        ResolveSaga=_P.OPERATE,
        PauseSaga=_P.OPERATE,
        ResumeSaga=_P.OPERATE,
        StartBulk=_P.OPERATE,
        GetBulk=_P.READ,
        WatchBulk=_P.READ,
        ListBulks=_P.READ,
        ListBulkMembers=_P.READ,
        CancelBulk=_P.OPERATE,
        ListAudit=_P.READ,
        ListParticipants=_P.READ,
        HoldParticipant=_P.ADMINISTER,
        ReleaseParticipant=_P.ADMINISTER,
        ListNodes=_P.READ,
        DrainNode=_P.ADMINISTER,
        ListDefinitions=_P.READ,
        GetIdentity=_P.KNOWN,
    ),
    **_methods("grpc.health.v1.Health", Check=_P.OPEN, Watch=_P.OPEN, List=_P.OPEN),
    **_methods("grpc.reflection.v1alpha.ServerReflection", ServerReflectionInfo=_P.READ),
    **_methods("grpc.reflection.v1.ServerReflection", ServerReflectionInfo=_P.READ),
    **_methods(
        "grpc.channelz.v1.Channelz",
        GetTopChannels=_P.ADMINISTER,
        GetServers=_P.ADMINISTER,
        GetServer=_P.ADMINISTER,
        GetServerSockets=_P.ADMINISTER,
        GetChannel=_P.ADMINISTER,
        GetSubchannel=_P.ADMINISTER,
        GetSocket=_P.ADMINISTER,
    ),
}
"""By path. Typed front doors are beside it: each takes START of its definition."""


def check_complete(services: Iterable[ServiceDescriptor], starts: Iterable[str]) -> None:
    """Raises :class:`PermissionMissing` if a method of the services is neither in the table nor among the front doors.

    A service with a front door counts as one of the users' own: its other methods are not served.
    """
    known = {*METHODS, *starts}
    doors = {path.split("/")[1] for path in starts}
    missing = [
        path
        for service in services
        if service.full_name not in doors
        for path in (f"/{service.full_name}/{method.name}" for method in service.methods)
        if path not in known
    ]
    if missing:
        raise PermissionMissing(
            f"orchestrator/rpc/access/permissions.py must say what these take: {', '.join(missing)}"
        )


def methods_of(service: str, permissions: frozenset[Permission]) -> frozenset[str]:
    """Names of a service's methods that take one of the permissions."""
    prefix = f"/{service}/"
    return frozenset(
        path.removeprefix(prefix) for path, takes in METHODS.items() if path.startswith(prefix) and takes in permissions
    )
