"""Which addresses are served, to whom."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.settings import Settings
from tests.fixtures.certificates import LOOPBACK, Authority


def settings(**given: object) -> Settings:
    return Settings.model_validate(given)


def test_without_a_policy_nobody_is_asked() -> None:
    assert settings().access() is None


def test_other_machines_are_served_with_a_certificate_and_a_policy_alone(tmp_path: Path) -> None:
    certificate, key = Authority().issue(*LOOPBACK).write(tmp_path, "node")
    tls = {"tls_cert_file": certificate, "tls_key_file": key}
    policy = {"policy_file": tmp_path / "policy.toml"}
    everywhere = {"listen_address": "0.0.0.0:7233"}
    with pytest.raises(ValidationError, match="ORCHESTRATOR_POLICY_FILE"):
        settings(**everywhere, **tls)
    with pytest.raises(ValidationError, match="ORCHESTRATOR_TLS_CERT_FILE"):
        settings(**everywhere, **policy)
    settings(**everywhere, **tls, **policy)
    settings(**everywhere, allow_insecure=True)


def test_the_address_for_tokens_needs_a_policy_too(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue(*LOOPBACK).write(tmp_path, "node")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    tls = {"tls_cert_file": certificate, "tls_key_file": key, "tls_client_ca_file": tmp_path / "ca.pem"}
    with pytest.raises(ValidationError, match="TOKEN_LISTEN_ADDRESS: other machines reach"):
        settings(token_listen_address="0.0.0.0:7234", **tls)
    settings(token_listen_address="0.0.0.0:7234", policy_file=tmp_path / "policy.toml", **tls)


def test_keys_outlive_the_time_between_two_looks() -> None:
    with pytest.raises(ValidationError, match="JWKS_MAX_AGE_S must be at least"):
        settings(jwks_max_age_s=10, jwks_refresh_interval_s=20)


def test_settings_reach_the_server(tmp_path: Path) -> None:
    given = settings(policy_file=tmp_path / "p.toml", policy_reload_interval_s=7, token_leeway_s=3).access()
    assert given is not None
    assert (given.policy_file, given.reload_interval_s, given.token_leeway_s) == (tmp_path / "p.toml", 7, 3)
