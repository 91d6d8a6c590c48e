"""What the programs refuse to start with: an address that other machines reach in the clear, half a pair, bad files."""

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.server import app as node
from orchestrator.settings import Settings
from participants.inventory.handlers import participant
from participants.kit.command import command_line
from participants.kit.server import InsecureAddressError, ParticipantServer
from participants.kit.settings import Settings as ParticipantSettings
from tests.fixtures.certificates import replace
from tests.security.tls.ends import NOWHERE, Files

EVERYWHERE = "0.0.0.0:0"
PAIR = {"TLS_CERT_FILE": "server.pem", "TLS_KEY_FILE": "server.key"}
MUTUAL = {**PAIR, "TLS_CLIENT_CA_FILE": "ca.pem"}
CONSOLE = {"CONSOLE_TLS_CERT_FILE": "server.pem", "CONSOLE_TLS_KEY_FILE": "server.key"}

NODES = [
    ({"LISTEN_ADDRESS": EVERYWHERE}, "the node serves without TLS"),
    ({"LISTEN_ADDRESS": EVERYWHERE, **MUTUAL}, "asks nobody who calls"),
    ({"CONSOLE_ADDRESS": EVERYWHERE, **PAIR}, "CONSOLE_ADDRESS: other machines reach"),
    ({"CONSOLE_ADDRESS": EVERYWHERE, **CONSOLE}, "the console does not ask who is there"),
    ({"TLS_CERT_FILE": "server.pem"}, "ORCHESTRATOR_TLS_CERT_FILE and ORCHESTRATOR_TLS_KEY_FILE go together"),
    ({"TLS_KEY_FILE": "server.key"}, "ORCHESTRATOR_TLS_CERT_FILE and ORCHESTRATOR_TLS_KEY_FILE go together"),
    ({"CONSOLE_TLS_KEY_FILE": "server.key"}, "ORCHESTRATOR_CONSOLE_TLS_CERT_FILE and"),
    ({"TLS_CLIENT_CA_FILE": "ca.pem"}, "ORCHESTRATOR_TLS_CLIENT_CA_FILE needs ORCHESTRATOR_TLS_CERT_FILE"),
    ({"TOKEN_LISTEN_ADDRESS": "127.0.0.1:0", **PAIR}, "ORCHESTRATOR_TOKEN_LISTEN_ADDRESS is for callers without"),
    ({**PAIR, "TLS_KEY_FILE": "client.key"}, "ORCHESTRATOR_TLS_KEY_FILE: the file"),
    ({**PAIR, "TLS_CERT_FILE": "lapsed.pem", "TLS_KEY_FILE": "lapsed.key"}, "holds a certificate that lapsed at"),
    ({**MUTUAL, "TLS_CLIENT_CA_FILE": "none.pem"}, "none.pem cannot be read: No such file"),
]
PARTICIPANTS = [
    ({"LISTEN_ADDRESS": EVERYWHERE}, "PARTICIPANT_LISTEN_ADDRESS: 0.0.0.0:0 is reached by other machines"),
    ({"TLS_CERT_FILE": "server.pem"}, "PARTICIPANT_TLS_CERT_FILE and PARTICIPANT_TLS_KEY_FILE go together"),
    ({**PAIR, "CALLERS": '["spiffe://a/b"]'}, "PARTICIPANT_CALLERS needs PARTICIPANT_TLS_CLIENT_CA_FILE"),
    ({**MUTUAL, "CALLERS": '["ada"]'}, "PARTICIPANT_CALLERS: 'ada' is no SPIFFE ID"),
    ({**MUTUAL, "CALLERS": "spiffe://a/b"}, "PARTICIPANT_CALLERS is not JSON"),
    ({**PAIR, "TLS_KEY_FILE": "client.key"}, "PARTICIPANT_TLS_KEY_FILE: the file"),
]


def _set(monkeypatch: pytest.MonkeyPatch, prefix: str, given: dict[str, str], folder: Path) -> None:
    monkeypatch.setenv(f"{prefix}DATABASE_URL", NOWHERE)
    for name, value in given.items():
        monkeypatch.setenv(f"{prefix}{name}", str(folder / value) if name.endswith("_FILE") else value)


@pytest.mark.parametrize(("given", "told"), NODES)
def test_a_node_says_what_it_will_not_start_with(
    given: dict[str, str], told: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.issue("lapsed", "localhost", lifetime=timedelta(seconds=-1))
    _set(monkeypatch, "ORCHESTRATOR_", given, files.folder)
    result = CliRunner().invoke(node, ["serve"])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert told in line


@pytest.mark.parametrize(("given", "told"), PARTICIPANTS)
def test_a_participant_says_what_it_will_not_start_with(
    given: dict[str, str], told: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, "PARTICIPANT_", given, files.folder)
    result = CliRunner().invoke(command_line(participant()), ["serve"])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert told in line


async def test_a_participant_serves_other_machines_with_a_certificate_alone(files: Files) -> None:
    pair = {"tls_cert_file": files.folder / "server.pem", "tls_key_file": files.folder / "server.key"}
    given = {"database_url": NOWHERE, "listen_address": EVERYWHERE, "shutdown_grace_s": 0.1}
    with pytest.raises(InsecureAddressError):
        ParticipantServer(participant(), ParticipantSettings.model_validate(given))
    server = ParticipantServer(participant(), ParticipantSettings.model_validate(given | pair))
    assert await server.start() > 0
    await server.stop()


def test_a_node_serves_other_machines_with_a_certificate_and_a_policy(files: Files) -> None:
    replace(files.folder / "policy.toml", b"")
    given = {name.lower(): files.folder / file for name, file in {**MUTUAL, **CONSOLE}.items()}
    found = Settings.model_validate(
        {
            **given,
            "listen_address": EVERYWHERE,
            "token_listen_address": EVERYWHERE,
            "console_address": EVERYWHERE,
            "policy_file": files.folder / "policy.toml",
        }
    )
    assert found.transport() == "mutual"
    assert found.rpc().tls == found.server_tls()
