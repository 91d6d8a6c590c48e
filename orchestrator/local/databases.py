"""Databases on the embedded server: for each chain one, with an owner that migrates it and a role that uses it."""

import asyncio
import fcntl
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg
from sqlalchemy import make_url

from migrations import runner
from orchestrator.local.postgres import EmbeddedPostgres

CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 60.0
ALONE_TIMEOUT_S: Final = 120.0
POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Database:
    """Two ways into one database: ``owner_url`` may change its schema, ``url`` only its rows."""

    owner_url: str
    url: str


async def provide(server: EmbeddedPostgres, chain: str) -> Database:
    """The database of a chain, created, at its newest revision, open to its two roles alone. Repeatable, also at once.

    Raises ``TimeoutError`` and what :func:`migrations.runner.upgrade` raises.
    """
    async with _alone(server):
        return await _provide(server, chain)


@asynccontextmanager
async def _alone(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """Several processes may share a server that is new to all of them."""
    with (server.directory / "provide.lock").open("a") as lock:
        async with asyncio.timeout(ALONE_TIMEOUT_S):
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(POLL_S)
        yield


async def _provide(server: EmbeddedPostgres, chain: str) -> Database:
    admin_url = server.url()
    owner, user = f"{chain}_owner", chain
    passwords = {role: _password(admin_url, role) for role in (owner, user)}
    dsn = make_url(admin_url).set(drivername="postgresql").render_as_string(hide_password=False)
    admin = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
    try:
        for role, password in passwords.items():
            if not await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await admin.execute(f'CREATE ROLE "{role}"')
            await admin.execute(f"ALTER ROLE \"{role}\" LOGIN PASSWORD '{password}'")
        if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", chain):
            await admin.execute(f'CREATE DATABASE "{chain}" OWNER "{owner}"')
        await admin.execute(f'REVOKE ALL ON DATABASE "{chain}" FROM PUBLIC')
        await admin.execute(f'GRANT CONNECT ON DATABASE "{chain}" TO "{user}"')
    finally:
        await admin.close(timeout=CONNECT_TIMEOUT_S)
    database = Database(
        owner_url=server.url(chain, user=owner, password=passwords[owner]),
        url=server.url(chain, user=user, password=passwords[user]),
    )
    await runner.upgrade(database.owner_url, chain)
    await runner.grant(database.owner_url, user)
    return database


def _password(admin_url: str, role: str) -> str:
    """Drawn from the superuser's password, so that it needs no place of its own and every process finds the same."""
    key = make_url(admin_url).password or ""
    return hmac.new(key.encode(), role.encode(), hashlib.sha256).hexdigest()
