"""A wrong setting is named, with what to do, and no value that may be a secret is told."""

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from contracts.starting import StartError, read_settings
from orchestrator.cli.server import app
from orchestrator.settings import Settings
from participants.kit.settings import Settings as ParticipantSettings
from tests.fixtures.certificates import Authority

URL = "postgresql://user:secret@localhost:5432/name"
WRONG = [
    ("DATABASE_URL", "secret", "DATABASE_URL: it is not a database URL"),
    ("DATABASE_URL", "mysql://user:secret@host/name", "DATABASE_URL: its scheme must be postgresql"),
    ("DEFINITIONS", "shop.sagas", "DEFINITIONS is not JSON"),
    ("DEFINITIONS", "[]", "DEFINITIONS: "),
    ("PARTICIPANTS", "{", "PARTICIPANTS is not JSON"),
    ("PARTICIPANTS", '{"a.B": []}', "PARTICIPANTS: a.B: a service needs at least one address"),
    ("PARTICIPANTS", '{"a.B": [""]}', "PARTICIPANTS: a.B, 0, address: '' is no address"),
    ("PARTICIPANTS", '{"a.B": ["host"]}', "'host' is no address"),
    ("PARTICIPANTS", '{"a.B": ["host:0"]}', "'host:0' is no address"),
    ("PARTICIPANTS", '{"a.B": ["host:65536"]}', "'host:65536' is no address"),
    ("PARTICIPANTS", '{"a.B": [{"address": "h:1", "tls": {"ca_file": "/none"}}]}', "/none cannot be read"),
    ("PARTICIPANTS", '{"a.B": [{"address": "h:1", "tls": {"cert_file": "/none"}}]}', "cert_file and key_file go"),
    ("LISTEN_ADDRESS", "7233", "LISTEN_ADDRESS: '7233' is no address to listen on"),
    ("LISTEN_ADDRESS", "0.0.0.0:7233", "ORCHESTRATOR_ALLOW_INSECURE=true"),
    ("CONSOLE_ADDRESS", "0.0.0.0:7280", "CONSOLE_ADDRESS: other machines reach 0.0.0.0:7280"),
    ("CONSOLE_ADDRESS", "unix:/run/console", "CONSOLE_ADDRESS: browsers reach no Unix socket"),
    ("PARK_AFTER_S", "inf", "PARK_AFTER_S: "),
    ("LEASE_TTL_S", "nan", "LEASE_TTL_S: "),
    ("BREAKER_OPEN_S", "31", "BREAKER_MAX_OPEN_S must be at least ORCHESTRATOR_BREAKER_OPEN_S"),
    ("COMMAND_TIMEOUT_S", "3", "COMMAND_TIMEOUT_S must be above ORCHESTRATOR_STATEMENT_TIMEOUT_S"),
    ("MAX_MESSAGE_BYTES", str(1 << 31), "MAX_MESSAGE_BYTES: "),
]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.mark.parametrize(("name", "value", "told"), WRONG)
def test_a_wrong_setting_ends_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", URL)
    monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert f"ORCHESTRATOR_{name}" in line
    assert told in line
    assert "secret" not in line


def test_the_variable_without_the_prefix_is_named_as_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "none")
    with pytest.raises(StartError, match=r"^DATABASE_URL: "):
        read_settings(Settings, "ORCHESTRATOR_")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgres+asyncpg"])
def test_every_spelling_of_postgresql_is_taken(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}:///name?host=/run/postgresql")
    assert read_settings(Settings, "ORCHESTRATOR_").database_url is not None


@pytest.mark.parametrize(
    "address", ["host:1", "10.0.0.1:65535", "[::1]:9000", "unix:/run/a.sock", "dns:///host:9000", "ipv4:10.0.0.1:1"]
)
def test_every_kind_of_address_is_taken(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("ORCHESTRATOR_PARTICIPANTS", f'{{"a.B": ["{address}"]}}')
    ((target,),) = Settings().targets().values()
    assert target.address == address


def test_tls_files_that_can_be_read_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority().certificate)
    tls = f'{{"address": "host:1", "tls": {{"ca_file": "{tmp_path / "ca.pem"}"}}}}'
    monkeypatch.setenv("ORCHESTRATOR_PARTICIPANTS", f'{{"a.B": [{tls}, "host:2"]}}')
    assert [target.tls is None for target in Settings().targets()["a.B"]] == [False, True]


@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_URL", "none"), ("LISTEN_ADDRESS", "host"), ("POOL_TIMEOUT_S", "inf"), ("MAX_MESSAGE_BYTES", "1")],
)
def test_a_participant_names_its_variables_too(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("PARTICIPANT_DATABASE_URL", URL)
    monkeypatch.setenv(f"PARTICIPANT_{name}", value)
    with pytest.raises(StartError, match=rf"^PARTICIPANT_{name}: "):
        read_settings(lambda: ParticipantSettings.model_validate({}), "PARTICIPANT_")


def test_a_defect_is_not_taken_for_a_wrong_setting() -> None:
    def defective() -> BaseSettings:
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        read_settings(defective, "ORCHESTRATOR_")
