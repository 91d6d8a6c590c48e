"""Databases as ``migrate`` leaves them: three roles each, none of them a superuser."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from migrations import runner
from orchestrator.local.postgres import EmbeddedPostgres
from tests.fixtures.postgres import execute


@dataclass(frozen=True)
class Roles:
    """One database, and the ways into it."""

    chain: str
    admin_url: str = field(repr=False)
    owner: str
    program: str
    reader: str

    def url(self, role: str) -> str:
        return make_url(self.admin_url).set(username=role, password=role).render_as_string(hide_password=False)

    async def migrate(self, *, program: str | None = None, reader: str | None = None) -> None:
        """What an operator runs, as the role that owns the tables."""
        to, read = program or self.program, reader or self.reader
        await runner.migrate(self.url(self.owner), self.chain, grant_to=to, grant_read_to=read)


@pytest.fixture(scope="session")
async def databases(postgres_server: EmbeddedPostgres, admin_url: str) -> AsyncIterator[dict[str, Roles]]:
    """A database of each chain, for tests that leave it as it is."""
    found = {chain: await new_database(postgres_server, admin_url, chain) for chain in runner.chains()}
    yield found
    for roles in found.values():
        await drop_database(admin_url, roles)


@pytest.fixture
async def own_database(postgres_server: EmbeddedPostgres, admin_url: str) -> AsyncIterator[Roles]:
    """A database of the orchestrator for this test alone."""
    roles = await new_database(postgres_server, admin_url, "orchestrator")
    yield roles
    await drop_database(admin_url, roles)


async def new_database(server: EmbeddedPostgres, admin_url: str, chain: str) -> Roles:
    number = uuid4().hex[:8]
    name, names = f"{chain}_{number}", [f"{kind}_{number}" for kind in ("owner", "program", "reader")]
    await execute(
        admin_url,
        *(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'" for role in names),
        f"CREATE DATABASE {name} OWNER {names[0]}",
    )
    roles = Roles(chain, server.url(name), *names)
    await roles.migrate()
    return roles


async def drop_database(admin_url: str, roles: Roles) -> None:
    database = make_url(roles.admin_url).database
    await execute(
        admin_url,
        f"DROP DATABASE {database} WITH (FORCE)",
        *(f"DROP ROLE {role}" for role in (roles.owner, roles.program, roles.reader)),
    )
