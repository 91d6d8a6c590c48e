"""Settings of the console, for the node's settings to take in. Nodes without a console import nothing else of it."""

from pathlib import Path
from typing import Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from contracts.addresses import check_listen_address
from contracts.serving import is_loopback
from contracts.tls import ServerTls
from contracts.tls_settings import server_tls
from orchestrator.console.settings import ConsoleSettings

PREFIX: Final = "ORCHESTRATOR_"
DAY_S: Final = 86_400


class ConsoleFields(BaseSettings):
    """Part of the node's settings."""

    console_address: str = ""
    """Where the operators' web page listens; empty is nowhere."""
    console_hosts: tuple[str, ...] = ()
    """Names, beside loopback and addresses, under which browsers may reach it."""
    console_tls_cert_file: Path | None = None
    console_tls_key_file: Path | None = None
    console_session_s: float = Field(default=8 * 3600.0, ge=60, le=7 * DAY_S)
    """A session ends so long after the sign-in, or with its token."""
    console_idle_s: float = Field(default=1800.0, ge=60, le=7 * DAY_S)
    """A session ends so long after its last use."""
    console_trust_proxy_token: bool = False
    """An authenticating proxy in front hands each viewer's token over."""

    @field_validator("console_address")
    @classmethod
    def _check_console_address(cls, address: str) -> str:
        if address.startswith("unix"):
            raise ValueError("browsers reach no Unix socket: write host:port")
        return check_listen_address(address) if address else ""

    def console_tls(self) -> ServerTls | None:
        """What browsers are served with."""
        return server_tls(self.console_tls_cert_file, self.console_tls_key_file, f"{PREFIX}CONSOLE_TLS_")

    def console_settings(self, *, has_policy: bool) -> ConsoleSettings:
        """``has_policy``: the node asks who its callers are, and so does its console."""
        return ConsoleSettings(
            hosts=frozenset(self.console_hosts),
            sign_in=has_policy,
            session_s=self.console_session_s,
            idle_s=self.console_idle_s,
            trust_proxy_token=self.console_trust_proxy_token,
        )

    def check_console(self, *, has_policy: bool, allow_insecure: bool) -> None:
        """Raises ``ValueError`` for a console that would show other machines what it must not, and ``TlsFileError``."""
        tls = self.console_tls()
        if tls is not None:
            tls.follow()
        if self.console_trust_proxy_token and not has_policy:
            raise ValueError(
                f"{PREFIX}CONSOLE_TRUST_PROXY_TOKEN: the node asks nobody who calls, so no token would count for "
                f"anything: give it {PREFIX}POLICY_FILE"
            )
        lacks = [
            (tls is None, "serves without TLS", "CONSOLE_TLS_CERT_FILE"),
            (not has_policy, "does not ask who is there", "POLICY_FILE"),
        ]
        for is_lacking, what, cure in lacks:
            if is_lacking and self.console_address and not is_loopback(self.console_address) and not allow_insecure:
                raise ValueError(
                    f"{PREFIX}CONSOLE_ADDRESS: other machines reach {self.console_address}, and the console {what}: "
                    f"listen on 127.0.0.1, give it {PREFIX}{cure}, or allow it with {PREFIX}ALLOW_INSECURE=true"
                )
