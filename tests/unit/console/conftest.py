"""The console before the stand-in, over real gRPC, as an ASGI application."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import httpx
import pytest

from orchestrator.console.app import create_app
from orchestrator.console.page import load_templates
from orchestrator.console.settings import ConsoleSettings
from tests.console.standin import FullStandIn
from tests.fixtures.operator_service import serve_operator

OWN_PAGE = {"sec-fetch-site": "same-origin"}
TEMPLATES = load_templates()


@dataclass(frozen=True, slots=True)
class Browser:
    """Asks the console; ``service`` is what stands behind it."""

    client: httpx.AsyncClient
    service: FullStandIn

    async def get(self, address: str, status: int = 200) -> str:
        answer = await self.client.get(address)
        assert answer.status_code == status, answer.text
        return answer.text

    async def post(self, address: str, form: dict[str, str]) -> httpx.Response:
        return await self.client.post(address, data=form, headers=OWN_PAGE)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    service = FullStandIn()
    async with serve_operator(service) as address, grpc.aio.insecure_channel(address) as channel:
        app = create_app(channel, ConsoleSettings(hosts=frozenset({"console.example"})), templates=TEMPLATES)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7280") as client:
            yield Browser(client, service)
