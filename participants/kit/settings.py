"""Settings of a participant's server, from the environment: ``PARTICIPANT_DATABASE_URL`` and so on."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from contracts.addresses import check_database_url, check_listen_address
from contracts.failpoints import PARTICIPANT_POINTS, Failpoints, parse_failpoints
from contracts.peer import is_spiffe_id
from contracts.serving import is_loopback
from contracts.tls_settings import TlsSettings
from contracts.traces.settings import TraceSettings


class Settings(TlsSettings, TraceSettings):
    """Every bound has its unit in its name. Raises ``pydantic.ValidationError`` naming the variable that is wrong."""

    model_config = SettingsConfigDict(env_prefix="PARTICIPANT_", frozen=True, allow_inf_nan=False)

    database_url: SecretStr
    """PostgreSQL URL of the database that holds the participant's tables and its barrier."""
    listen_address: str = "127.0.0.1:0"
    """Port 0 takes a free one; the bound port is printed on standard output."""
    callers: tuple[str, ...] = ()
    """SPIFFE IDs of the orchestrators that may call; none is everyone whose certificate the server trusts."""
    allow_insecure: bool = False
    """Serve, in the clear, on an address that other machines reach."""
    reuse_port: bool = False
    """Lets several processes share one port."""
    pool_size: int = Field(default=16, ge=1, le=500)
    pool_timeout_s: float = Field(default=5, gt=0, le=86_400)
    connect_timeout_s: float = Field(default=5, gt=0, le=86_400)
    statement_timeout_s: float = Field(default=10, gt=0, le=86_400)
    lock_timeout_s: float = Field(default=5, gt=0, le=86_400)
    idle_in_transaction_timeout_s: float = Field(default=10, gt=0, le=86_400)
    transaction_timeout_s: float = Field(default=20, gt=0, le=86_400)
    """From BEGIN to the answer of COMMIT, the handler's own work included."""
    max_message_bytes: int = Field(default=1024 * 1024, ge=1024, le=64 << 20)
    max_concurrent_calls: int = Field(default=1000, ge=1, le=1_000_000)
    """Further calls are answered RESOURCE_EXHAUSTED."""
    shutdown_grace_s: float = Field(default=10, gt=0, le=86_400)
    """How long SIGTERM waits for running calls."""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_json: bool = True
    """Else columns for people."""
    application_name: str = "participant"
    """What ``pg_stat_activity`` shows."""
    failpoints: str = ""
    """For tests (:mod:`contracts.failpoints`): refused without ``allow_failpoints`` and a loopback address."""
    allow_failpoints: bool = False
    failpoints_log: Path = Path("failpoints.jsonl")

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, url: SecretStr) -> SecretStr:
        check_database_url(url.get_secret_value())
        return url

    @field_validator("listen_address")
    @classmethod
    def _check_listen_address(cls, address: str) -> str:
        return check_listen_address(address)

    @field_validator("callers")
    @classmethod
    def _check_callers(cls, callers: tuple[str, ...]) -> tuple[str, ...]:
        for caller in callers:
            if not is_spiffe_id(caller):
                raise ValueError(f"{caller!r} is no SPIFFE ID: write spiffe://trust.domain/path")
        return callers

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.callers and self.tls_client_ca_file is None:
            raise ValueError(
                "PARTICIPANT_CALLERS needs PARTICIPANT_TLS_CLIENT_CA_FILE: callers are known by certificates alone"
            )
        if parse_failpoints(self.failpoints, PARTICIPANT_POINTS) and not (
            self.allow_failpoints and is_loopback(self.listen_address)
        ):
            raise ValueError("failpoints are for tests: they need allow_failpoints and a loopback listen_address")
        return self

    def armed(self) -> Failpoints | None:
        """The failpoints, if there are any."""
        armed = parse_failpoints(self.failpoints, PARTICIPANT_POINTS)
        return Failpoints(armed, self.failpoints_log) if armed else None

    @property
    def sqlalchemy_url(self) -> str:
        """The database's URL with the driver that the kit uses."""
        scheme, separator, rest = self.database_url.get_secret_value().partition("://")
        if not separator or scheme.partition("+")[0] not in ("postgresql", "postgres"):
            raise ValueError("PARTICIPANT_DATABASE_URL must begin with postgresql://")
        return f"postgresql+asyncpg://{rest}"
