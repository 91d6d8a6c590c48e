"""Every setting of a node, in one place. Environment variables with the prefix ``ORCHESTRATOR_``; JSON where nested."""

from pathlib import Path
from typing import Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.failpoints import Failpoints, parse_failpoints
from contracts.serving import is_loopback
from orchestrator.core.backoff import CorePolicy
from orchestrator.engine.settings import EngineSettings
from orchestrator.failpoints import POINTS
from orchestrator.rpc.settings import RpcSettings
from orchestrator.rpc.targets import ChannelSettings, Target, Tls
from orchestrator.storage.settings import StorageSettings


class TlsFiles(BaseModel):
    """TLS of one target: PEM files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None


class TargetAddress(BaseModel):
    """One address of a participant, with TLS if it is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    tls: TlsFiles | None = None

    def target(self) -> Target:
        """The same for the channel layer."""
        if self.tls is None:
            return Target(self.address)
        tls = self.tls
        return Target(self.address, Tls(tls.ca_file, tls.cert_file, tls.key_file, tls.server_name))


class Settings(BaseSettings):
    """Raises ``pydantic.ValidationError`` naming the variable that is wrong."""

    model_config = SettingsConfigDict(env_prefix="ORCHESTRATOR_", frozen=True, populate_by_name=True)

    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("ORCHESTRATOR_DATABASE_URL", "DATABASE_URL")
    )
    """PostgreSQL; without it the node starts and migrates an embedded one in ``data_directory``."""
    data_directory: Path = Path("var")
    definitions: tuple[str, ...] = ("orchestrator.definitions.shipped",)
    """Installed Python modules that hold sagas."""
    participants: dict[str, tuple[str | TargetAddress, ...]] = Field(default_factory=dict)
    """Where each service is: its full name to addresses, each a string or an object with ``tls``."""

    node_name: str = "node"
    listen_address: str = "127.0.0.1:7233"
    allow_insecure: bool = False
    reflection: bool = False
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_json: bool = True

    lease_ttl_s: float = Field(default=5.0, gt=0.5, le=60)
    renew_interval_s: float = Field(default=1.5, gt=0)
    poll_interval_s: float = Field(default=1.0, gt=0.05, le=60)
    max_sagas: int = Field(default=2000, ge=1)
    max_batch_items: int = Field(default=256, ge=1, le=5000)
    park_after_s: float = Field(default=30.0, gt=0)
    blocked_retry_s: float = Field(default=15.0, gt=0)
    max_stale_claims: int = Field(default=5, ge=3)
    start_timeout_s: float = Field(default=10.0, gt=0)
    drain_grace_s: float = Field(default=5.0, ge=0)

    max_message_bytes: int = Field(default=1 << 20, ge=1024)
    max_concurrent_rpcs: int = Field(default=10_000, ge=1)
    max_wait_s: float = Field(default=60.0, gt=0)
    shutdown_grace_s: float = Field(default=5.0, ge=0)
    max_participant_message_bytes: int = Field(default=1 << 20, ge=1024)

    pool_size: int = Field(default=8, ge=1, le=500)
    statement_timeout_s: float = Field(default=3.0, gt=0)
    command_timeout_s: float = Field(default=4.0, gt=0)

    failpoints: str = ""
    allow_failpoints: bool = False
    failpoints_log: Path = Path("failpoints.jsonl")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.renew_interval_s > self.lease_ttl_s / 2:
            raise ValueError("renew_interval_s must be at most half of lease_ttl_s: one renewal may get lost")
        if self.statement_timeout_s >= self.lease_ttl_s:
            raise ValueError("statement_timeout_s must be below lease_ttl_s, or a write may outlive its lease")
        if parse_failpoints(self.failpoints, POINTS) and not (
            self.allow_failpoints and is_loopback(self.listen_address)
        ):
            raise ValueError("failpoints are for tests: they need allow_failpoints and a loopback listen_address")
        return self

    def engine(self) -> EngineSettings:
        """For the engine."""
        return EngineSettings(
            node_name=self.node_name,
            lease_ttl_s=self.lease_ttl_s,
            renew_interval_s=self.renew_interval_s,
            poll_interval_s=self.poll_interval_s,
            max_sagas=self.max_sagas,
            max_batch_items=self.max_batch_items,
            park_after_s=self.park_after_s,
            start_timeout_s=self.start_timeout_s,
            drain_grace_s=self.drain_grace_s,
            core=CorePolicy(blocked_retry_s=self.blocked_retry_s, max_stale_claims=self.max_stale_claims),
        )

    def rpc(self) -> RpcSettings:
        """For the server."""
        return RpcSettings(
            listen_address=self.listen_address,
            allow_insecure=self.allow_insecure,
            reflection=self.reflection,
            max_message_bytes=self.max_message_bytes,
            max_concurrent_rpcs=self.max_concurrent_rpcs,
            max_wait_s=self.max_wait_s,
            shutdown_grace_s=self.shutdown_grace_s,
        )

    def storage(self, database_url: str) -> StorageSettings:
        """For the store."""
        return StorageSettings(
            database_url,
            pool_size=self.pool_size,
            statement_timeout_s=self.statement_timeout_s,
            command_timeout_s=self.command_timeout_s,
            lock_timeout_s=min(2.0, self.statement_timeout_s),
        )

    def channels(self) -> ChannelSettings:
        """For the connections to participants."""
        return ChannelSettings(max_message_bytes=self.max_participant_message_bytes)

    def armed(self) -> Failpoints | None:
        """The failpoints, if there are any."""
        armed = parse_failpoints(self.failpoints, POINTS)
        return Failpoints(armed, self.failpoints_log) if armed else None

    def targets(self) -> dict[str, list[Target]]:
        """Where each service is."""
        return {
            service: [Target(one) if isinstance(one, str) else one.target() for one in several]
            for service, several in self.participants.items()
        }
