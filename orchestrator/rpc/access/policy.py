"""Who may do what, as values: what the policy file says once it has been read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from orchestrator.engine.stored import Visibility
from orchestrator.rpc.access.permissions import OPERATOR_SERVICE, ROLES, Permission, Role, methods_of
from orchestrator.rpc.identity import Identity

_NO_CLAIMS: Final[Mapping[str, frozenset[str]]] = {}


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens count, and where its keys are."""

    name: str
    issuer: str
    """The ``iss`` of its tokens."""
    audiences: tuple[str, ...]
    """One of them must be in a token's ``aud``."""
    keys: Path | str
    """A file, or a URL."""
    ca_file: Path | None = None
    """Who vouches for the URL's certificate; None is whom the system trusts."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody who has proved to be it. ``name`` is unique: a SPIFFE ID, or ``issuer's name/sub``."""

    name: str
    issuer: str | None = None
    """The issuer's name in the policy; None for the holder of a certificate."""
    claims: Mapping[str, frozenset[str]] = field(default_factory=lambda: _NO_CLAIMS)
    """Of a token, those that the policy asks for."""


@dataclass(frozen=True, slots=True)
class Scope:
    """To whose sagas a permission applies, and whether it shows payloads. The identity carries the visibility."""

    identity: Identity
    shows_payloads: bool = True


@dataclass(frozen=True, slots=True)
class Grant:
    """What one caller may do. For a request that names a saga the first scope that sees it holds."""

    scopes: Mapping[Permission, tuple[Scope, ...]]
    definitions: frozenset[str] | None
    """Whose sagas it may start; None is every one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``[[identity]]`` of the policy."""

    roles: frozenset[Role]
    definitions: frozenset[str] | None = frozenset()
    tenant: str = ""
    tenants: tuple[str, ...] | None = ("",)
    """Whose sagas it sees beside those that it started; None is everybody's."""
    claims: Mapping[str, str] = field(default_factory=dict)

    def matches(self, subject: Subject) -> bool:
        """Whether a token has every claim that the entry asks for."""
        return all(value in subject.claims.get(name, ()) for name, value in self.claims.items())

    def grant(self, name: str, expires_at: float) -> Grant:
        """What the entry gives to the caller of this name until its proof lapses (seconds since 1970)."""
        permissions = frozenset[Permission]().union(*(ROLES[role] for role in self.roles))
        roles = tuple(sorted(self.roles))
        shown = _shown(permissions)

        def scope(visibility: Visibility, *, shows_payloads: bool = True) -> Scope:
            return Scope(Identity(name, self.tenant, visibility, roles, expires_at, shown), shows_payloads)

        wide: tuple[Scope, ...] = ()
        if self.roles & {Role.READER, Role.OPERATOR, Role.ADMIN}:
            wide = (scope(Visibility(self.tenants), shows_payloads=Permission.OPERATE in permissions),)
        own = scope(Visibility((self.tenant,), name))
        scopes: dict[Permission, tuple[Scope, ...]] = {}
        for permission in permissions:
            if Permission.OPERATE in permissions:
                scopes[permission] = wide  # its own are among them
            elif permission is Permission.FOLLOW and Role.STARTER in self.roles:
                scopes[permission] = (own, *wide)
            elif permission in (Permission.START, Permission.CANCEL):
                scopes[permission] = (own,)
            else:
                scopes[permission] = wide or (own,)
        return Grant(scopes, None if Role.ADMIN in self.roles else self.definitions)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was checked. By default it knows nobody."""

    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    """By ``iss``."""
    named: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    """Entries that name a subject, by its name."""
    by_claims: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    """Entries that name claims alone, by the issuer's name."""

    def grant(self, subject: Subject, expires_at: float) -> Grant | None:
        """What a subject may do until its proof lapses; None if the policy does not know it.

        One entry decides: one that names the subject before one that does not, else the first in the file.
        """
        candidates = (*self.named.get(subject.name, ()), *self.by_claims.get(subject.issuer or "", ()))
        entry = next((entry for entry in candidates if entry.matches(subject)), None)
        return None if entry is None else entry.grant(subject.name, expires_at)

    def claims_of(self, issuer: str) -> frozenset[str]:
        """Names of the claims that any entry asks for in tokens of the issuer of this name."""
        prefix = f"{issuer}/"
        entries = [entry for name, several in self.named.items() if name.startswith(prefix) for entry in several]
        return frozenset(name for entry in (*entries, *self.by_claims.get(issuer, ())) for name in entry.claims)


def covers(now: Sequence[Scope], before: Sequence[Scope]) -> bool:
    """Whether what somebody may do now contains all that the same name might do before."""
    return all(any(_covers(each, old) for each in now) for old in before)


def _covers(now: Scope, before: Scope) -> bool:
    seen, saw = now.identity.visibility, before.identity.visibility
    return (
        (seen.tenants is None or (saw.tenants is not None and set(saw.tenants) <= set(seen.tenants)))
        and seen.caller in (None, saw.caller)
        and now.shows_payloads >= before.shows_payloads
        and now.identity.name == before.identity.name
    )


@lru_cache(maxsize=64)
def _shown(permissions: frozenset[Permission]) -> frozenset[str]:
    return methods_of(OPERATOR_SERVICE, permissions)
