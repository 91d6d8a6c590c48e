"""Every setting of a node, in one place. Environment variables with the prefix ``ORCHESTRATOR_``; JSON where nested."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from contracts.addresses import check_database_url, check_listen_address
from contracts.failpoints import Failpoints, parse_failpoints
from contracts.following import Follower
from contracts.serving import is_loopback
from contracts.tls import own_client
from contracts.tls_settings import TlsSettings
from contracts.traces.settings import TraceSettings
from orchestrator.console.fields import ConsoleFields
from orchestrator.core.backoff import CorePolicy
from orchestrator.engine.admission import AdmissionPolicy
from orchestrator.engine.breakers import BreakerPolicy
from orchestrator.engine.lanes import LanePolicy
from orchestrator.engine.settings import EngineSettings
from orchestrator.failpoints import POINTS
from orchestrator.operations.operators import OperatorSettings
from orchestrator.rpc.access.settings import AccessSettings
from orchestrator.rpc.limits.callers import CallerPolicy
from orchestrator.rpc.settings import RpcSettings
from orchestrator.rpc.target_settings import Addresses
from orchestrator.rpc.targets import ChannelSettings, Target
from orchestrator.storage.settings import StorageSettings
from orchestrator.telemetry.node_metrics import MetricsSettings
from orchestrator.telemetry.settings import MetricsFields

if TYPE_CHECKING:
    from orchestrator.console.server import ConsoleServer

PREFIX: Final = "ORCHESTRATOR_"
MAX_MESSAGE_BYTES: Final = 64 << 20
DAY_S: Final = 86_400


class Settings(TlsSettings, TraceSettings, MetricsFields, ConsoleFields):
    """Raises ``pydantic.ValidationError`` naming the variable that is wrong."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, populate_by_name=True, allow_inf_nan=False)

    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("ORCHESTRATOR_DATABASE_URL", "DATABASE_URL")
    )
    """PostgreSQL; without it the node starts and migrates an embedded one in ``data_directory``."""
    data_directory: Path = Path("var")
    definitions: tuple[str, ...] = Field(default=("orchestrator.definitions.shipped",), min_length=1)
    """Installed Python modules that hold sagas."""
    participants: dict[str, Addresses] = Field(default_factory=dict)
    """Where each service is: its full name to addresses, each a string or an object with ``tls``."""

    node_name: str = "node"
    listen_address: str = "127.0.0.1:7233"
    token_listen_address: str = ""
    """Where callers without a certificate come in, if ``listen_address`` demands one; empty is nowhere."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that share the port, each a node of its own."""
    tls_check_interval_s: float = Field(default=10.0, gt=0, le=DAY_S)
    """How often to look whether files of TLS were renewed; servers look at every handshake as well."""
    policy_file: Path | None = None
    """Who may do what; without it nobody is asked who calls, and only this machine is served."""
    policy_reload_interval_s: float = Field(default=2.0, ge=0.05, le=DAY_S)
    token_leeway_s: float = Field(default=10.0, ge=0, le=600)
    jwks_refresh_interval_s: float = Field(default=300.0, ge=1, le=DAY_S)
    jwks_refetch_interval_s: float = Field(default=10.0, ge=1, le=DAY_S)
    jwks_timeout_s: float = Field(default=5.0, gt=0, le=60)
    jwks_max_age_s: float = Field(default=DAY_S, ge=1, le=30 * DAY_S)
    max_cached_tokens: int = Field(default=10_000, ge=1, le=1_000_000)
    allow_insecure: bool = False
    reflection: bool = False
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_json: bool = True

    lease_ttl_s: float = Field(default=5.0, gt=0.5, le=60)
    renew_interval_s: float = Field(default=1.5, gt=0, le=DAY_S)
    poll_interval_s: float = Field(default=1.0, gt=0.05, le=60)
    max_sagas: int = Field(default=20_000, ge=1, le=1_000_000)
    max_sagas_per_caller: int = Field(default=10_000, ge=1, le=1_000_000)
    min_sagas: int = Field(default=64, ge=1, le=1_000_000)
    target_delay_s: float = Field(default=0.4, gt=0, le=60)
    max_batch_items: int = Field(default=256, ge=1, le=5000)
    park_after_s: float = Field(default=30.0, gt=0, le=DAY_S)
    max_calls_per_participant: int = Field(default=128, ge=1, le=100_000)
    max_queued_per_participant: int = Field(default=256, ge=1, le=1_000_000)
    breaker_window_s: float = Field(default=10.0, gt=0, le=DAY_S)
    breaker_min_calls: int = Field(default=20, ge=1, le=1_000_000)
    breaker_failure_share: float = Field(default=0.8, gt=0, le=1)
    breaker_open_s: float = Field(default=2.0, gt=0, le=DAY_S)
    breaker_max_open_s: float = Field(default=30.0, gt=0, le=DAY_S)
    blocked_retry_s: float = Field(default=15.0, gt=0, le=DAY_S)
    max_stale_claims: int = Field(default=5, ge=3, le=1000)
    attention_blocked_s: float = Field(default=60.0, gt=0, le=DAY_S)
    start_timeout_s: float = Field(default=10.0, gt=0, le=DAY_S)
    drain_grace_s: float = Field(default=5.0, ge=0, le=DAY_S)

    max_message_bytes: int = Field(default=1 << 20, ge=1024, le=MAX_MESSAGE_BYTES)
    max_concurrent_rpcs: int = Field(default=10_000, ge=1, le=1_000_000)
    max_connections: int = Field(default=2_000, ge=1, le=1_000_000)
    max_calls_per_caller: int = Field(default=8_000, ge=1, le=1_000_000)
    max_watchers_per_caller: int = Field(default=2_000, ge=1, le=1_000_000)
    max_unread_bytes_per_caller: int = Field(default=64 << 20, ge=1 << 20, le=1 << 40)
    max_calls_per_s_per_caller: float = Field(default=0.0, ge=0, le=1_000_000)
    slow_reader_s: float = Field(default=10.0, gt=0, le=DAY_S)
    max_wait_s: float = Field(default=60.0, gt=0, le=DAY_S)
    shutdown_grace_s: float = Field(default=5.0, ge=0, le=DAY_S)
    max_participant_message_bytes: int = Field(default=1 << 20, ge=1024, le=MAX_MESSAGE_BYTES)
    max_saga_bytes: int = Field(default=4 << 20, ge=64 << 10, le=1 << 30)

    pool_size: int = Field(default=8, ge=1, le=500)
    statement_timeout_s: float = Field(default=3.0, gt=0, le=DAY_S)
    command_timeout_s: float = Field(default=4.0, gt=0, le=DAY_S)

    failpoints: str = ""
    allow_failpoints: bool = False
    failpoints_log: Path = Path("failpoints.jsonl")

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            check_database_url(url.get_secret_value())
        return url

    @field_validator("listen_address")
    @classmethod
    def _check_listen_address(cls, address: str) -> str:
        return check_listen_address(address)

    @field_validator("token_listen_address")
    @classmethod
    def _check_token_listen_address(cls, address: str) -> str:
        return check_listen_address(address) if address else ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.renew_interval_s > self.lease_ttl_s / 2:
            raise ValueError(f"{PREFIX}RENEW_INTERVAL_S must be at most half of {PREFIX}LEASE_TTL_S: one may get lost")
        if self.statement_timeout_s >= self.lease_ttl_s:
            names = f"{PREFIX}STATEMENT_TIMEOUT_S must be below {PREFIX}LEASE_TTL_S"
            raise ValueError(f"{names}, or a write may outlive its lease")
        if self.breaker_max_open_s < self.breaker_open_s:
            raise ValueError(f"{PREFIX}BREAKER_MAX_OPEN_S must be at least {PREFIX}BREAKER_OPEN_S, which it bounds")
        if self.max_saga_bytes < self.max_message_bytes:
            raise ValueError(
                f"{PREFIX}MAX_SAGA_BYTES must be at least {PREFIX}MAX_MESSAGE_BYTES: a saga holds its input"
            )
        if self.jwks_max_age_s < self.jwks_refresh_interval_s:
            names = f"{PREFIX}JWKS_MAX_AGE_S must be at least {PREFIX}JWKS_REFRESH_INTERVAL_S"
            raise ValueError(f"{names}, or good keys lapse between two looks")
        if self.command_timeout_s <= self.statement_timeout_s:
            names = f"{PREFIX}COMMAND_TIMEOUT_S must be above {PREFIX}STATEMENT_TIMEOUT_S"
            raise ValueError(f"{names}: the server gives up first, and says why")
        armed = parse_failpoints(self.failpoints, POINTS)
        if armed and not (self.allow_failpoints and is_loopback(self.listen_address)):
            names = f"{PREFIX}FAILPOINTS are for tests: they need {PREFIX}ALLOW_FAILPOINTS"
            raise ValueError(f"{names} and a loopback {PREFIX}LISTEN_ADDRESS")
        self._check_transport()
        return self

    def _check_transport(self) -> None:
        tls = self.server_tls()
        if tls is None and not is_loopback(self.listen_address) and not self.allow_insecure:
            raise ValueError(
                f"{PREFIX}LISTEN_ADDRESS: other machines reach {self.listen_address}, and the node serves without TLS: "
                f"listen on 127.0.0.1, give it {PREFIX}TLS_CERT_FILE, or allow it with {PREFIX}ALLOW_INSECURE=true"
            )
        for name, address in (("LISTEN", self.listen_address), ("TOKEN_LISTEN", self.token_listen_address)):
            if address and self.policy_file is None and not is_loopback(address) and not self.allow_insecure:
                raise ValueError(
                    f"{PREFIX}{name}_ADDRESS: other machines reach {address}, and the node asks nobody who calls: "
                    f"listen on 127.0.0.1, give it {PREFIX}POLICY_FILE, or allow it with {PREFIX}ALLOW_INSECURE=true"
                )
        if self.token_listen_address and (tls is None or tls.client_ca_file is None):
            raise ValueError(
                f"{PREFIX}TOKEN_LISTEN_ADDRESS is for callers without a certificate where {PREFIX}LISTEN_ADDRESS "
                f"demands one, which takes {PREFIX}TLS_CERT_FILE and {PREFIX}TLS_CLIENT_CA_FILE"
            )
        if self.metrics_address and tls is None and not is_loopback(self.metrics_address) and not self.allow_insecure:
            raise ValueError(
                f"{PREFIX}METRICS_ADDRESS: other machines reach {self.metrics_address}, and there is no certificate: "
                f"listen on 127.0.0.1, give it {PREFIX}TLS_CERT_FILE, or allow it with {PREFIX}ALLOW_INSECURE=true"
            )
        self.check_console(has_policy=self.policy_file is not None, allow_insecure=self.allow_insecure)
        if self.console_address and tls is not None:
            own_client(tls, tls.follow())

    def engine(self) -> EngineSettings:
        """For the engine."""
        return EngineSettings(
            node_name=self.node_name,
            lease_ttl_s=self.lease_ttl_s,
            renew_interval_s=self.renew_interval_s,
            poll_interval_s=self.poll_interval_s,
            admission=AdmissionPolicy(self.max_sagas, self.max_sagas_per_caller, self.min_sagas, self.target_delay_s),
            max_batch_items=self.max_batch_items,
            park_after_s=self.park_after_s,
            start_timeout_s=self.start_timeout_s,
            drain_grace_s=self.drain_grace_s,
            lanes=LanePolicy(
                self.max_calls_per_participant,
                self.max_queued_per_participant,
                BreakerPolicy(
                    window_s=self.breaker_window_s,
                    min_calls=self.breaker_min_calls,
                    failure_share=self.breaker_failure_share,
                    open_s=self.breaker_open_s,
                    max_open_s=self.breaker_max_open_s,
                ),
            ),
            core=CorePolicy(
                blocked_retry_s=self.blocked_retry_s,
                max_stale_claims=self.max_stale_claims,
                max_saga_bytes=self.max_saga_bytes,
            ),
        )

    def operators(self) -> OperatorSettings:
        """For the use-cases of operators."""
        return OperatorSettings(
            blocked_attention_s=self.attention_blocked_s, park_after_s=self.park_after_s, core=self.engine().core
        )

    def rpc(self) -> RpcSettings:
        """For the server."""
        return RpcSettings(
            listen_address=self.listen_address,
            token_listen_address=self.token_listen_address,
            tls=self.server_tls(),
            max_connection_age_s=self.max_connection_age_s,
            connection_grace_s=self.connection_grace_s,
            allow_insecure=self.allow_insecure,
            reflection=self.reflection,
            max_message_bytes=self.max_message_bytes,
            max_concurrent_rpcs=self.max_concurrent_rpcs,
            max_connections=self.max_connections,
            callers=CallerPolicy(
                max_calls=self.max_calls_per_caller,
                max_watchers=self.max_watchers_per_caller,
                max_unread_bytes=self.max_unread_bytes_per_caller,
                max_calls_per_s=self.max_calls_per_s_per_caller,
            ),
            slow_reader_s=self.slow_reader_s,
            max_wait_s=self.max_wait_s,
            shutdown_grace_s=self.shutdown_grace_s,
        )

    def access(self) -> AccessSettings | None:
        """For finding out who calls, if that is wanted."""
        if self.policy_file is None:
            return None
        return AccessSettings(
            self.policy_file,
            reload_interval_s=self.policy_reload_interval_s,
            token_leeway_s=self.token_leeway_s,
            jwks_refresh_interval_s=self.jwks_refresh_interval_s,
            jwks_refetch_interval_s=self.jwks_refetch_interval_s,
            jwks_timeout_s=self.jwks_timeout_s,
            jwks_max_age_s=self.jwks_max_age_s,
            max_cached_tokens=self.max_cached_tokens,
        )

    def console(self, follower: Follower) -> "ConsoleServer | None":
        """The console, if it is wanted; ``follower`` tells when files of TLS were renewed."""
        if not self.console_address:
            return None
        from orchestrator.console.server import ConsoleServer  # noqa: PLC0415  (half a second that most starts save)

        return ConsoleServer(
            self.console_address,
            self.console_settings(has_policy=self.policy_file is not None),
            tls=self.console_tls(),
            node_tls=self.server_tls(),
            follower=follower,
        )

    def metrics_settings(self) -> MetricsSettings:
        """For the metrics. Other machines scrape over the node's own TLS."""
        return self.metrics(self.server_tls())

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
        return {service: [one.target() for one in several] for service, several in self.participants.items()}
