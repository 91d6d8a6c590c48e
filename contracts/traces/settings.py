"""Settings of the traces, the same for a node and a participant, from the environment."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from contracts.addresses import check_target
from contracts.following import Follower
from contracts.serving import is_loopback
from contracts.tls import ClientTls

if TYPE_CHECKING:
    from contracts.traces.export import Spans

_DAY_S: Final = 86_400


class TraceSettings(BaseSettings):
    """Raises ``pydantic.ValidationError`` naming the setting that is wrong."""

    allow_insecure: bool = False
    traces_endpoint: str = ""
    """Where a collector takes OTLP over gRPC: ``http://host:port``, or with TLS ``https://host:port``; empty is off."""
    traces_ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of the calls that are traced, of those whose callers do not say."""
    traces_tls_ca_file: Path | None = None
    traces_tls_cert_file: Path | None = None
    traces_tls_key_file: Path | None = None
    traces_interval_s: float = Field(default=1.0, gt=0, le=_DAY_S)
    traces_timeout_s: float = Field(default=5.0, gt=0, le=_DAY_S)
    traces_max_queued_spans: int = Field(default=8192, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _check_traces(self) -> Self:
        if not self.traces_endpoint:
            return self
        name = f"{self.model_config.get('env_prefix', '')}TRACES_ENDPOINT"
        url = urlsplit(self.traces_endpoint)
        if url.scheme not in {"http", "https"} or url.path.strip("/") or url.query or url.fragment:
            raise ValueError(f"{name}: write http://host:port, or https://host:port for TLS")
        try:
            check_target(url.netloc)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if url.scheme == "http" and not is_loopback(url.netloc) and not self.allow_insecure:
            allow = f"{name.removesuffix('TRACES_ENDPOINT')}ALLOW_INSECURE=true"
            raise ValueError(
                f"{name}: spans would leave this machine in the clear: write https://, or allow it: {allow}"
            )
        self._traces_tls().follow()
        return self

    def spans(self, service: str, instance: str, follower: Follower | None = None) -> "Spans | None":
        """What sends spans, for a service and one process of it; None if traces are off.

        ``follower`` tells when the files of TLS were renewed.
        """
        if not self.traces_endpoint:
            return None
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415  (only traces need the SDK)
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  (as above)

        from contracts.traces.export import Spans  # noqa: PLC0415  (as above)

        url = urlsplit(self.traces_endpoint)
        tls = self._traces_tls() if url.scheme == "https" else None
        followed = None if tls is None else tls.follow()

        def exporter() -> OTLPSpanExporter:
            credentials = None if tls is None else tls.credentials(followed)
            return OTLPSpanExporter(
                url.netloc, insecure=tls is None, credentials=credentials, timeout=self.traces_timeout_s
            )

        spans = Spans(
            exporter(),
            Resource.create({"service.name": service, "service.instance.id": instance}),
            max_queued=self.traces_max_queued_spans,
            interval_s=self.traces_interval_s,
            stop_timeout_s=self.traces_timeout_s,
        )

        async def renewed() -> None:
            await spans.use(exporter())

        if follower is not None and followed is not None:
            follower.follow(followed, renewed)
        return spans

    def _traces_tls(self) -> ClientTls:
        prefix = f"{self.model_config.get('env_prefix', '')}TRACES_TLS_"
        files = self.traces_tls_ca_file, self.traces_tls_cert_file, self.traces_tls_key_file
        try:
            return ClientTls(*files, prefix=prefix)
        except ValueError:
            raise ValueError(f"{prefix}CERT_FILE and {prefix}KEY_FILE go together: give both, or neither") from None
