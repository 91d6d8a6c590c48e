"""A collector's address that cannot be meant is refused before anything starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts.traces.settings import TraceSettings
from orchestrator.settings import Settings


@pytest.mark.parametrize(
    ("endpoint", "what"),
    [
        ("127.0.0.1:4317", "write http://host:port"),
        ("ftp://127.0.0.1:4317", "write http://host:port"),
        ("http://127.0.0.1:4317/v1/traces", "write http://host:port"),
        ("http://127.0.0.1", "is no address"),
        ("http://collector:4317", "in the clear"),
        ("http://10.0.0.7:4317", "ORCHESTRATOR_ALLOW_INSECURE"),
    ],
)
def test_a_wrong_endpoint_is_refused(endpoint: str, what: str) -> None:
    with pytest.raises(ValidationError, match="ORCHESTRATOR_TRACES_ENDPOINT") as refused:
        Settings(traces_endpoint=endpoint)
    assert what in str(refused.value)


def test_files_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="ORCHESTRATOR_TRACES_TLS_CERT_FILE"):
        Settings(traces_endpoint="https://collector:4317", traces_tls_cert_file=tmp_path / "absent.pem")


def test_what_is_safe_is_taken() -> None:
    for endpoint in ("http://127.0.0.1:4317", "http://localhost:4317", "https://collector:4317"):
        assert Settings(traces_endpoint=endpoint).traces_endpoint == endpoint
    Settings(traces_endpoint="http://collector:4317", allow_insecure=True)
    assert TraceSettings().spans("service", "instance") is None, "off by default"
