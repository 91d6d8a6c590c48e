"""Who looks at a page, as the node has told it."""

from dataclasses import dataclass
from typing import Final

from saga.v1 import operator_service_pb2 as pb

from orchestrator.console.text import shown

_NAME: Final = 256
_ROLE: Final = 80


@dataclass(frozen=True, slots=True)
class Viewer:
    """What pages offer goes by it; what is allowed, the node decides with each call."""

    name: str = ""
    roles: tuple[str, ...] = ()
    tenants: tuple[str, ...] | None = ()
    """None is every tenant."""
    methods: frozenset[str] | None = frozenset()
    """Methods of the operators' service; None is every one."""
    form_token: str = ""
    """Stands in every form that this viewer is given; empty where nobody is asked."""
    has_session: bool = False

    def may(self, method: str) -> bool:
        """Whether it is worth offering what this method of the operators' service does."""
        return self.methods is None or method in self.methods


NOBODY: Final = Viewer()
"""Has not signed in."""
EVERYBODY: Final = Viewer(tenants=None, methods=None)
"""Whoever reaches the console of a node that asks nobody who they are."""


def viewer_of(told: pb.GetIdentityResponse) -> Viewer:
    """The caller that the node describes."""
    return Viewer(
        name=shown(told.name, _NAME),
        roles=tuple(shown(role, _ROLE) for role in told.roles),
        tenants=None if told.all_tenants else tuple(shown(tenant, _NAME) for tenant in told.tenants),
        methods=frozenset(told.methods),
    )
