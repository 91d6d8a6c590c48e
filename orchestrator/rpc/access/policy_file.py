"""Reads the policy file: TOML, checked strictly. Whatever is wrong is said, with the entry that it is wrong in."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from contracts.serving import is_loopback
from orchestrator.rpc.access.errors import PolicyError
from orchestrator.rpc.access.permissions import Role
from orchestrator.rpc.access.policy import Entry, Issuer, Policy

MAX_POLICY_BYTES: Final = 4 << 20
MAX_NAME_CHARS: Final = 256
"""Of a caller, as rows and the audit keep it."""
ALL: Final = "*"
_SPIFFE_ID: Final = r"^spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)*$"

_Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
_Tenant = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$")]
_TenantOrAll = Annotated[str, StringConstraints(max_length=63, pattern=r"^(\*|([A-Za-z0-9][A-Za-z0-9._-]*)?)$")]
_Definition = Annotated[str, StringConstraints(max_length=64, pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*)$")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Issuer(_Table):
    name: _Name
    issuer: _Text
    audience: _Text | Annotated[list[_Text], Field(min_length=1, max_length=32)]
    jwks: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    ca_file: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if re.match(r"[a-z][a-z0-9+.-]*://", self.jwks):
            _check_url(self.jwks)
        elif self.ca_file is not None:
            raise ValueError("ca_file goes with a URL in jwks")
        return self


class _Identity(_Table):
    spiffe: Annotated[str, StringConstraints(max_length=MAX_NAME_CHARS, pattern=_SPIFFE_ID)] | None = None
    issuer: _Name | None = None
    subject: _Text | None = None
    claims: Annotated[dict[_Text, _Text], Field(max_length=16)] = Field(default_factory=dict)
    roles: Annotated[list[Annotated[Role, Field(strict=False)]], Field(min_length=1)]
    definitions: list[_Definition] = Field(default_factory=list)
    tenant: _Tenant | None = None
    tenants: Annotated[list[_TenantOrAll], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        roles = set(self.roles)
        sees = roles & {Role.READER, Role.OPERATOR, Role.ADMIN}
        if (self.spiffe is None) == (self.issuer is None):
            yield "name it by spiffe, or by issuer: one of the two"
        if self.spiffe is not None and (self.subject is not None or self.claims):
            yield "subject and claims are of tokens, and go with issuer"
        if self.issuer is not None and self.subject is None and not self.claims:
            yield "an issuer alone would be everybody: name a subject, claims, or both"
        if (Role.STARTER in roles) != bool(self.definitions):
            yield f'the role starter and definitions go together: name some, or ["{ALL}"]'
        for name, given in (("definitions", self.definitions), ("tenants", self.tenants or [])):
            if ALL in given and len(given) > 1:
                yield f'{name}: "{ALL}" is all of them, and stands alone'
        if self.tenants is not None and not sees:
            yield "tenants are for roles that see sagas of others; a starter has its tenant"
        if Role.ADMIN in roles and self.tenants not in (None, [ALL]):
            yield f'an admin acts on what every tenant shares: leave tenants out, or write ["{ALL}"]'
        home = self.home()
        if Role.STARTER in roles and sees and self.tenants is not None and not {home, ALL} & set(self.tenants):
            yield f"it would not see what it starts: tenants must hold its tenant {home!r}"

    def key(self) -> tuple[object, ...]:
        """What tells it from every other entry."""
        return self.spiffe, self.issuer, self.subject, tuple(sorted(self.claims.items()))

    def home(self) -> str:
        """Its own tenant: the one that it sees, if it sees one and names none."""
        if self.tenant is None and self.tenants is not None and len(self.tenants) == 1 and ALL not in self.tenants:
            return self.tenants[0]
        return self.tenant or ""

    def entry(self) -> Entry:
        """As a value."""
        tenants = [self.home()] if self.tenants is None else self.tenants
        return Entry(
            roles=frozenset(self.roles),
            definitions=None if ALL in self.definitions else frozenset(self.definitions),
            tenant=self.home(),
            tenants=None if Role.ADMIN in self.roles or ALL in tenants else tuple(sorted(set(tenants))),
            claims=self.claims,
        )


class _File(_Table):
    issuer: Annotated[list[_Issuer], Field(max_length=32)] = Field(default_factory=list)
    identity: Annotated[list[_Identity], Field(max_length=10_000)] = Field(default_factory=list)


def read_policy(path: Path) -> Policy:
    """The policy in a file. Raises :class:`PolicyError` that names the file, and the line or the entry."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"{path}: the policy cannot be read: {error.strerror}") from error
    if len(raw) > MAX_POLICY_BYTES:
        raise PolicyError(f"{path}: the policy has more than {MAX_POLICY_BYTES} bytes")
    return parse_policy(raw, path)


def parse_policy(raw: bytes, path: Path) -> Policy:
    """The policy in the bytes of a file; ``path`` is where relative paths start. Raises :class:`PolicyError`."""
    try:
        file = _File.model_validate(tomllib.loads(raw.decode()))
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: the policy is not UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:  # it names line and column
        raise PolicyError(f"{path}: {error}") from error
    except ValidationError as error:
        raise PolicyError("\n".join(f"{path}: {told}" for told in _told(error))) from None
    problems = list(_contradictions(file))
    if problems:
        raise PolicyError("\n".join(f"{path}: {problem}" for problem in problems))
    return _policy(file, path.parent)


def _told(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        where, *inner = fault["loc"] or ("the file",)
        if inner and isinstance(inner[0], int):
            where, inner = f"[[{where}]] number {inner[0] + 1}", inner[1:]
        field = ".".join(str(part) for part in inner)
        yield f"{where}{', ' if field else ''}{field}: {fault['msg'].removeprefix('Value error, ')}"


def _contradictions(file: _File) -> Iterator[str]:
    for what, values in (
        ("name", [each.name for each in file.issuer]),
        ("issuer", [each.issuer for each in file.issuer]),
    ):
        for number in _repeated(values):
            yield f"[[issuer]] number {number + 1}: an entry before it has the same {what}"
    for number in _repeated([each.key() for each in file.identity]):
        yield f"[[identity]] number {number + 1}: an entry before it is for the same identity"
    known = {each.name for each in file.issuer}
    for number, each in enumerate(file.identity, 1):
        if each.issuer is not None and each.issuer not in known:
            yield f"[[identity]] number {number}, issuer: no [[issuer]] has the name {each.issuer}"
        if each.subject is not None and len(f"{each.issuer}/{each.subject}") > MAX_NAME_CHARS:
            yield f"[[identity]] number {number}, subject: more than {MAX_NAME_CHARS} characters with the issuer"


def _repeated(values: "list[str] | list[tuple[object, ...]]") -> Iterator[int]:
    seen: set[object] = set()
    for number, value in enumerate(values):
        if value in seen:
            yield number
        seen.add(value)


def _policy(file: _File, folder: Path) -> Policy:
    named: dict[str, tuple[Entry, ...]] = {}
    by_claims: dict[str, tuple[Entry, ...]] = {}
    for each in file.identity:
        if each.issuer is not None and each.subject is None:
            by_claims[each.issuer] = (*by_claims.get(each.issuer, ()), each.entry())
        else:
            name = each.spiffe or f"{each.issuer}/{each.subject}"
            # The more claims an entry asks for, the more it knows of the subject.
            several = (*named.get(name, ()), each.entry())
            named[name] = tuple(sorted(several, key=lambda entry: -len(entry.claims)))
    return Policy({each.issuer: _issuer(each, folder) for each in file.issuer}, named, by_claims)


def _issuer(table: _Issuer, folder: Path) -> Issuer:
    return Issuer(
        table.name,
        table.issuer,
        (table.audience,) if isinstance(table.audience, str) else tuple(table.audience),
        table.jwks if "://" in table.jwks else folder / table.jwks,
        None if table.ca_file is None else folder / table.ca_file,
    )


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("jwks: write https://…, or the path of a file")
    if parts.username or parts.password or parts.fragment:
        raise ValueError("jwks: a URL of keys has no user, password or fragment: keys are public")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if parts.scheme == "http" and not is_loopback(f"{host}:80"):
        raise ValueError("jwks: over http anybody on the way could put keys of their own: write https://…")
