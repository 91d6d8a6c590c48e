"""Channel arguments and TLS settings: what the connections to participants are opened with."""

from pathlib import Path

import pytest

from contracts.pem import TlsFileError
from contracts.tls import ClientTls
from orchestrator.rpc.targets import ChannelSettings, Target


def test_a_frozen_peer_is_found_by_keepalive() -> None:
    options = dict(ChannelSettings(keepalive_s=5, keepalive_timeout_s=2).options)
    assert options["grpc.keepalive_time_ms"] == 5000
    assert options["grpc.keepalive_timeout_ms"] == 2000
    assert options["grpc.http2.ping_timeout_ms"] == 2000
    assert options["grpc.keepalive_permit_without_calls"] == 0


def test_the_saga_owns_the_retries_and_addresses_are_taken_literally() -> None:
    options = dict(ChannelSettings().options)
    assert options["grpc.enable_retries"] == 0
    assert options["grpc.enable_http_proxy"] == 0
    assert options["grpc.service_config_disable_resolution"] == 1
    assert options["grpc.use_local_subchannel_pool"] == 1


def test_messages_and_reconnecting_are_bounded() -> None:
    options = dict(ChannelSettings(max_message_bytes=1000).options)
    assert options["grpc.max_send_message_length"] == options["grpc.max_receive_message_length"] == 1000
    assert options["grpc.initial_reconnect_backoff_ms"] <= options["grpc.max_reconnect_backoff_ms"] <= 1000


def test_settings_compare_by_what_was_set() -> None:
    assert ChannelSettings() == ChannelSettings()
    assert ChannelSettings() != ChannelSettings(keepalive_s=1)


def test_half_a_client_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="certificate file and a key file"):
        ClientTls(cert_file=tmp_path / "cert.pem")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TlsFileError, match=r"ca_file: .*ca\.pem cannot be read"):
        ClientTls(ca_file=tmp_path / "ca.pem").credentials()


def test_a_target_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="address"):
        Target("")
