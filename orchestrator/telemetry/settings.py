"""Settings of metrics, for the node's settings to take in."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from contracts.addresses import check_listen_address
from contracts.serving import is_loopback
from contracts.tls import ServerTls
from orchestrator.telemetry.node_metrics import MetricsSettings

DAY_S = 86_400


class MetricsFields(BaseSettings):
    """Part of the node's settings."""

    metrics_address: str = ""
    """Where Prometheus scrapes; empty is nowhere."""
    metrics_endpoint: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Of an OpenTelemetry collector that takes metrics by OTLP over gRPC; empty is none."""
    metrics_ca_file: Path | None = None
    metrics_interval_s: float = Field(default=15.0, gt=0, le=DAY_S)
    attention_interval_s: float = Field(default=30.0, gt=0, le=DAY_S)

    @field_validator("metrics_address")
    @classmethod
    def _check_metrics_address(cls, address: str) -> str:
        if address.startswith("unix"):
            raise ValueError("Prometheus reaches no Unix socket: write host:port")
        return check_listen_address(address) if address else ""

    def metrics(self, tls: ServerTls | None) -> MetricsSettings:
        """Where metrics go. ``tls`` is the node's own, used where other machines scrape."""
        is_local = is_loopback(self.metrics_address)
        return MetricsSettings(
            self.metrics_address,
            None if is_local else tls,
            self.metrics_endpoint,
            "" if self.metrics_ca_file is None else str(self.metrics_ca_file),
            self.metrics_interval_s,
            self.attention_interval_s,
        )
