"""The console is shown to other machines with a certificate and a policy, or not at all."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.settings import Settings
from tests.fixtures.certificates import Authority


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What a console for other machines needs."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    certificate, key = Authority().issue("console.example").write(tmp_path, "console")
    return {
        "console_address": "0.0.0.0:7280",
        "console_tls_cert_file": certificate,
        "console_tls_key_file": key,
        "policy_file": tmp_path / "policy.toml",
    }


def test_with_both_it_asks_everybody_to_sign_in(given: dict[str, Any]) -> None:
    settings = Settings(**given)
    console = settings.console_settings(has_policy=settings.access() is not None)
    assert (console.sign_in, console.session_s, console.idle_s, console.trust_proxy_token) == (True, 28800, 1800, False)
    assert settings.console_tls() is not None


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (("policy_file",), "does not ask who is there: .*ORCHESTRATOR_POLICY_FILE"),
        (("console_tls_cert_file", "console_tls_key_file"), "without TLS: .*ORCHESTRATOR_CONSOLE_TLS_CERT_FILE"),
        (("console_tls_key_file",), "ORCHESTRATOR_CONSOLE_TLS_"),
    ],
)
def test_without_one_of_them_it_is_refused(given: dict[str, Any], missing: tuple[str, ...], told: str) -> None:
    for name in missing:
        del given[name]
    with pytest.raises(ValidationError, match=told):
        Settings(**given)


def test_on_loopback_and_by_permission_it_needs_neither() -> None:
    assert not Settings(console_address="127.0.0.1:7280").console_settings(has_policy=False).sign_in
    Settings(console_address="0.0.0.0:7280", allow_insecure=True)


def test_a_proxys_token_counts_only_where_tokens_do(given: dict[str, Any]) -> None:
    assert Settings(**given, console_trust_proxy_token=True).console_settings(has_policy=True).trust_proxy_token
    with pytest.raises(ValidationError, match="CONSOLE_TRUST_PROXY_TOKEN: the node asks nobody who calls"):
        Settings(console_address="127.0.0.1:7280", console_trust_proxy_token=True)
