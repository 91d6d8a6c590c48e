"""Starts what a scenario needs, for one run alone: participants, and a node or a peer's server and worker."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import grpc

from benchmarks.bench import Bench, definitions_of
from benchmarks.calls import client_tls
from benchmarks.guarding import Guards
from benchmarks.peers import environments
from benchmarks.peers.restate import server as restate_server
from benchmarks.peers.temporal import server as temporal_server
from benchmarks.processes import START_TIMEOUT_S, Program
from benchmarks.scenarios import Contender, Feature, Scenario, Site
from orchestrator.local.health import wait_until_serving
from orchestrator.local.stack import SERVICES

UNAVAILABLE_EVERY: Final = 10


@dataclass(frozen=True, slots=True)
class Server:
    """What a contender runs beside the load generator. ``where``: what its client connects to."""

    where: dict[str, str] = field(default_factory=dict)
    pids: tuple[int, ...] = ()
    worker_pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """Everything of one scenario, up. ``python`` runs the load generator."""

    addresses: dict[str, str]
    participant_pids: tuple[int, ...]
    server: Server
    python: Path
    tls: dict[str, str] | None = None
    """Files by which the load generator proves who it is."""


@asynccontextmanager
async def up(bench: Bench, scenario: Scenario) -> AsyncIterator[Running]:
    """Raises ``ProgramError`` if a process does not start."""
    async with AsyncExitStack() as stack:
        if scenario.site is Site.REAL:
            addresses, pids = bench.real, bench.real_pids
        else:
            arguments = ["--unavailable-every", str(UNAVAILABLE_EVERY)] if scenario.feature is Feature.RETRIES else []
            if scenario.feature.is_guarded:
                files = bench.guards.participants
                arguments += ["--tls", files.ca_file, files.cert_file, files.key_file]
            command = [sys.executable, "-m", "benchmarks.trivial", *arguments]
            trivial = await stack.enter_async_context(Program("trivial", command, bench.directory / "log/trivial.log"))
            port = (await trivial.said())["port"]
            addresses, pids = dict.fromkeys(SERVICES.values(), f"127.0.0.1:{port}"), (trivial.pid,)
        server = await _SERVERS[scenario.contender](stack, bench, scenario, addresses)
        tls = asdict(bench.guards.caller) if scenario.feature.is_guarded else None
        yield Running(addresses, pids, server, environments.python(scenario.contender), tls)


async def _bare(_stack: AsyncExitStack, _bench: Bench, _scenario: Scenario, _addresses: dict[str, str]) -> Server:
    return Server()


async def _node(stack: AsyncExitStack, bench: Bench, scenario: Scenario, addresses: dict[str, str]) -> Server:
    url = await bench.node_database(scenario)
    environment = {
        "DATABASE_URL": url,
        "ORCHESTRATOR_DATABASE_URL": url,
        "ORCHESTRATOR_LISTEN_ADDRESS": "127.0.0.1:0",
        "ORCHESTRATOR_DEFINITIONS": json.dumps(definitions_of(scenario.feature)),
        "ORCHESTRATOR_PARTICIPANTS": json.dumps({service: [address] for service, address in addresses.items()}),
    }
    credentials: grpc.ChannelCredentials | None = None
    if scenario.feature.is_observed:
        environment |= await _collected(stack, bench)
    if scenario.feature.is_guarded:
        environment |= _guarded(bench.guards, addresses)
        credentials = client_tls(asdict(bench.guards.caller)).credentials()
    command = [sys.executable, "-m", "orchestrator.cli.server", "serve"]
    node = await stack.enter_async_context(Program("node", command, bench.directory / "log/node.log", environment))
    address = str((await node.said())["address"])
    await wait_until_serving(address, START_TIMEOUT_S, credentials)
    return Server({"node": address}, (node.pid,))


def _guarded(guards: Guards, addresses: dict[str, str]) -> dict[str, str]:
    """Settings of a node whose channels all speak mutual TLS, and that knows its callers."""
    places = {service: [{"address": where, "tls": asdict(guards.node)}] for service, where in addresses.items()}
    return {
        "ORCHESTRATOR_PARTICIPANTS": json.dumps(places),
        "ORCHESTRATOR_TLS_CERT_FILE": guards.node.cert_file,
        "ORCHESTRATOR_TLS_KEY_FILE": guards.node.key_file,
        "ORCHESTRATOR_TLS_CLIENT_CA_FILE": guards.node.ca_file,
        "ORCHESTRATOR_POLICY_FILE": guards.policy_file,
    }


async def _collected(stack: AsyncExitStack, bench: Bench) -> dict[str, str]:
    """Settings of a node that tells a collector, which is started, and can be scraped."""
    command = [sys.executable, "-m", "benchmarks.collector"]
    collector = await stack.enter_async_context(Program("collector", command, bench.directory / "log/collector.log"))
    endpoint = f"http://127.0.0.1:{(await collector.said())['collector']}"
    return {
        "ORCHESTRATOR_METRICS_ADDRESS": "127.0.0.1:0",
        "ORCHESTRATOR_METRICS_ENDPOINT": endpoint,
        "ORCHESTRATOR_METRICS_INTERVAL_S": "1",
        "ORCHESTRATOR_TRACES_ENDPOINT": endpoint,
    }


async def _hand_written(_stack: AsyncExitStack, bench: Bench, _: Scenario, _addresses: dict[str, str]) -> Server:
    return Server({"database": await bench.peer_database("hand_written")})


async def _dbos(_stack: AsyncExitStack, bench: Bench, _: Scenario, _addresses: dict[str, str]) -> Server:
    return Server({"database": await bench.peer_database("dbos")})


async def _restate(stack: AsyncExitStack, bench: Bench, _: Scenario, addresses: dict[str, str]) -> Server:
    up = await stack.enter_async_context(restate_server.running(bench.directory, addresses))
    return Server({"ingress": up.ingress}, (up.server_pid,), (up.worker_pid,))


async def _temporal(stack: AsyncExitStack, bench: Bench, _: Scenario, _addresses: dict[str, str]) -> Server:
    up = await stack.enter_async_context(temporal_server.running(bench.directory))
    return Server({"temporal": up.address}, (up.server_pid,))


_SERVERS: Final[dict[Contender, Callable[[AsyncExitStack, Bench, Scenario, dict[str, str]], Awaitable[Server]]]] = {
    Contender.BARE: _bare,
    Contender.ENGINE: _node,
    Contender.HAND_WRITTEN: _hand_written,
    Contender.DBOS: _dbos,
    Contender.RESTATE: _restate,
    Contender.TEMPORAL: _temporal,
}
