"""Settings of a server's TLS, the same for a node and a participant, from the environment."""

from pathlib import Path
from typing import Final, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from contracts.tls import ServerTls

_DAY_S: Final = 86_400


class TlsSettings(BaseSettings):
    """Raises ``pydantic.ValidationError`` naming the setting and the file that cannot be used."""

    tls_cert_file: Path | None = None
    """PEM of the server's certificate and its chain; without one it speaks no TLS."""
    tls_key_file: Path | None = None
    tls_client_ca_file: Path | None = None
    """PEM of whose certificates clients must present; without it none is asked for."""
    max_connection_age_s: float = Field(default=600.0, gt=0, le=_DAY_S)
    """With TLS: how old a connection may grow. Its client connects anew, by the certificates of that time."""
    connection_grace_s: float = Field(default=90.0, gt=0, le=_DAY_S)
    """How long calls in flight may go on over a connection that is too old."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        tls = self.server_tls()
        if tls is not None:
            tls.follow()
        return self

    def server_tls(self) -> ServerTls | None:
        """Raises ``ValueError`` if one setting lacks another."""
        prefix = f"{self.model_config.get('env_prefix', '')}TLS_"
        tls = server_tls(self.tls_cert_file, self.tls_key_file, prefix, self.tls_client_ca_file)
        if tls is None and self.tls_client_ca_file is not None:
            raise ValueError(f"{prefix}CLIENT_CA_FILE needs {prefix}CERT_FILE: only a server with TLS can ask for it")
        return tls

    def transport(self) -> str:
        """In a word, for logs: whether TLS is spoken, and whether clients prove who they are."""
        if self.tls_cert_file is None:
            return "none"
        return "server" if self.tls_client_ca_file is None else "mutual"


def server_tls(
    cert_file: Path | None, key_file: Path | None, prefix: str, client_ca_file: Path | None = None
) -> ServerTls | None:
    """None if neither file is given. Raises ``ValueError`` if only one is."""
    if (cert_file is None) != (key_file is None):
        raise ValueError(f"{prefix}CERT_FILE and {prefix}KEY_FILE go together: give both, or neither")
    if cert_file is None or key_file is None:
        return None
    return ServerTls(cert_file, key_file, client_ca_file, prefix)
