"""Where participants are, as it is written in settings: JSON, checked."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator

from contracts.addresses import check_target
from contracts.tls import ClientTls
from orchestrator.rpc.targets import Target


class TlsFiles(BaseModel):
    """TLS of one target: PEM files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together: give both, or neither")
        self.client_tls().follow()
        return self

    def client_tls(self) -> ClientTls:
        """The same for the channel layer."""
        return ClientTls(self.ca_file, self.cert_file, self.key_file, self.server_name)


class TargetAddress(BaseModel):
    """One address of a participant, with TLS if it is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    tls: TlsFiles | None = None

    @field_validator("address")
    @classmethod
    def _check(cls, address: str) -> str:
        return check_target(address)

    def target(self) -> Target:
        """The same for the channel layer."""
        return Target(self.address, None if self.tls is None else self.tls.client_tls())


def _as_object(given: object) -> object:
    return {"address": given} if isinstance(given, str) else given


def _not_empty(addresses: tuple[TargetAddress, ...]) -> tuple[TargetAddress, ...]:
    if not addresses:
        raise ValueError("a service needs at least one address, or leave it out")
    return addresses


Addresses = Annotated[tuple[Annotated[TargetAddress, BeforeValidator(_as_object)], ...], AfterValidator(_not_empty)]
"""Where one service is; in JSON each is a string, or an object with ``tls``."""
