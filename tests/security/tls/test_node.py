"""A whole node, its participants and its console with mutual TLS everywhere, while everything is renewed."""

import asyncio
import itertools
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from commerce.v1.address_pb2 import Address
from inventory.v1.inventory_pb2 import ReceiveStockRequest, StockLine
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED

from contracts.tls import ClientTls
from orchestrator.app import Node
from orchestrator.settings import Settings
from participants.inventory.handlers import participant as inventory
from participants.kit.server import ParticipantServer
from participants.kit.settings import Settings as ParticipantSettings
from participants.payment.handlers import participant as payment
from participants.shipping.handlers import participant as shipping
from tests.fixtures.postgres import DatabaseFactory, as_program
from tests.integration.rpc.fakes import an_order
from tests.security.tls.ends import NODE, Files, channel, check, participant_port

if TYPE_CHECKING:  # the stubs alone know it
    from orders.v1.orders_pb2_grpc import OrderServiceAsyncStub

PARTICIPANTS = {
    "inventory.v1.InventoryService": inventory,
    "payment.v1.PaymentService": payment,
    "shipping.v1.ShippingService": shipping,
}
CALL_S = 30.0

pytestmark = pytest.mark.timeout(180)


async def participants(files: Files, fresh_database: DatabaseFactory, stack: AsyncExitStack) -> dict[str, int]:
    """Serves them all; returns the port of each service."""
    ports: dict[str, int] = {}
    for service, make in PARTICIPANTS.items():
        given = {
            "database_url": as_program(await fresh_database(service.partition(".")[0])),
            "tls_cert_file": files.folder / "server.pem",
            "tls_key_file": files.folder / "server.key",
            "tls_client_ca_file": files.ca,
            "callers": [NODE],
            "max_connection_age_s": 0.5,
            "connection_grace_s": 20,
            "shutdown_grace_s": 1,
            "pool_size": 4,
        }
        server = ParticipantServer(make(), ParticipantSettings.model_validate(given))
        stack.push_async_callback(server.stop)
        ports[service] = await server.start()
    return ports


def settings(files: Files, ports: dict[str, int], database_url: str) -> Settings:
    """A node's, with TLS on everything that it listens on and calls."""
    own = {
        "ca_file": str(files.ca),
        "cert_file": f"{files.folder}/client.pem",
        "key_file": f"{files.folder}/client.key",
    }
    targets = {service: [{"address": f"localhost:{port}", "tls": own}] for service, port in ports.items()}
    return Settings.model_validate(
        {
            "database_url": database_url,
            "participants": json.loads(json.dumps(targets)),
            "listen_address": "127.0.0.1:0",
            "token_listen_address": "127.0.0.1:0",
            "tls_cert_file": files.folder / "server.pem",
            "tls_key_file": files.folder / "server.key",
            "tls_client_ca_file": files.ca,
            "max_connection_age_s": 0.5,
            "connection_grace_s": 20,
            "tls_check_interval_s": 0.05,
            "console_address": "127.0.0.1:0",
            "console_tls_cert_file": files.folder / "server.pem",
            "console_tls_key_file": files.folder / "server.key",
        }
    )


@asynccontextmanager
async def whole(files: Files, fresh_database: DatabaseFactory) -> AsyncIterator[tuple[Node, dict[str, int]]]:
    """A node that serves, and the ports of its participants."""
    async with AsyncExitStack() as stack:
        ports = await participants(files, fresh_database, stack)
        url = as_program(await fresh_database("orchestrator"))
        node = Node(settings(files, ports, url), url)
        stack.push_async_callback(node.stop)
        await node.start()
        yield node, ports


async def receive(port: int, tls: ClientTls) -> None:
    """Stock for every order of the test."""
    async with channel(port, tls) as connection:
        line = StockLine(sku="SKU-1", quantity=1000)
        request = ReceiveStockRequest(receipt_id="r", warehouse_id="w", lines=[line])
        await InventoryServiceStub(connection).ReceiveStock(request, timeout=CALL_S)


class Orders:
    """Places one order after the other; each must go through."""

    def __init__(self, connection: grpc.aio.Channel) -> None:
        self._stub: OrderServiceAsyncStub = OrderServiceStub(connection)
        self._numbers = itertools.count()

    async def place(self, count: int) -> None:
        for number in itertools.islice(self._numbers, count):
            order = an_order(
                f"r-{number}",
                order_id=f"o-{number}",
                warehouse_id="w",
                payment_method="pm_card_visa",
                ship_to=Address(postal_code="10119"),
            )
            assert (await self._stub.PlaceOrder(order, timeout=CALL_S)).state == SAGA_STATE_COMPLETED


async def look(url: str, files: Files) -> int:
    """The status of a page of the console, for a browser that trusts the authority."""
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=files.ca)) as browser:
        return (await browser.get(f"{url}nodes", timeout=CALL_S)).status_code


async def test_orders_go_through_while_every_certificate_is_renewed(
    files: Files, fresh_database: DatabaseFactory
) -> None:
    async with whole(files, fresh_database) as (node, ports):
        await receive(ports["inventory.v1.InventoryService"], files.client())
        async with channel(node.port, files.client()) as connection:
            orders = Orders(connection)
            await orders.place(3)
            assert await look(node.console_url, files) == 200
            for _ in range(3):
                renewing = asyncio.create_task(orders.place(10))
                files.issue("server", "localhost", "127.0.0.1")
                files.issue("client", uris=[NODE])
                await renewing
                assert await look(node.console_url, files) == 200


async def test_callers_without_a_certificate_come_in_where_tokens_are_asked_for(
    files: Files, fresh_database: DatabaseFactory
) -> None:
    async with whole(files, fresh_database) as (node, _):
        async with channel(node.token_port, ClientTls(files.ca)) as connection:
            assert await check(connection) is grpc.StatusCode.OK
        async with channel(node.token_port, None) as connection:
            assert await check(connection) is grpc.StatusCode.UNAVAILABLE
        async with channel(node.port, ClientTls(files.ca)) as connection:
            assert await check(connection) is grpc.StatusCode.UNAVAILABLE


async def test_the_health_command_speaks_tls_by_the_servers_own_certificate(files: Files) -> None:
    program = (sys.executable, "-m", "orchestrator.local.health")
    path = os.pathsep.join(each for each in sys.path if each)
    pair = {
        "PARTICIPANT_TLS_CERT_FILE": f"{files.folder}/server.pem",
        "PARTICIPANT_TLS_KEY_FILE": f"{files.folder}/server.key",
    }
    async with participant_port(files.server(), callers=[NODE]) as port:
        for more, code in ((pair, 0), ({}, 1)):
            process = await asyncio.create_subprocess_exec(
                *program,
                f"127.0.0.1:{port}",
                env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **more},
                stderr=asyncio.subprocess.PIPE,
            )
            _, told = await asyncio.wait_for(process.communicate(), CALL_S)
            assert (process.returncode, b"Traceback" in told) == (code, False), told
