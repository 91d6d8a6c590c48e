"""TLS of a server and of a client, from PEM files that may be renewed while both run."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import grpc

from contracts.following import Contents, Followed
from contracts.pem import Clock, Pair, PemFile, check_authorities, utc_now

_SERVER_NAME: Final = "grpc.ssl_target_name_override"


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How a server proves who it is, and whose certificates its clients must present.

    gRPC for Python knows no optional client certificate: without ``client_ca_file`` none is asked for, with it a
    client without one is refused in the handshake. TLS 1.2 is the least that gRPC speaks.
    """

    cert_file: Path
    """The certificate and the chain that leads to an authority."""
    key_file: Path
    client_ca_file: Path | None = None
    prefix: str = "TLS_"
    """How the names of the settings begin, for messages."""

    def files(self) -> tuple[PemFile | None, ...]:
        """Certificate, key, authorities of clients."""
        pair = self.pair()
        return pair.certificate, pair.key, self._authorities()

    def check(self, contents: Contents, now: datetime) -> datetime:
        """Returns when the certificate lapses. Raises :class:`TlsFileError`."""
        certificate, key, authorities = contents
        assert certificate is not None
        assert key is not None
        file = self._authorities()
        if file is not None and authorities is not None:
            check_authorities(file, authorities, now)
        return self.pair().check(certificate, key, now)

    def follow(self, now: Clock = utc_now) -> Followed:
        """Raises :class:`TlsFileError` if the files are not good."""
        return Followed(self, now)

    def credentials(self, followed: Followed) -> grpc.ServerCredentials:
        """For one port: each handshake looks at the files, and takes what is new and good."""
        given = followed.contents

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            followed.look()
            if followed.contents == given:
                return None  # gRPC keeps what it has
            given = followed.contents
            return _configuration(given)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(given),
            renewed,  # type: ignore[arg-type]  # None is documented, and missing in the stubs
            require_client_authentication=self.client_ca_file is not None,
        )

    def pair(self) -> Pair:
        """The server's own certificate and key."""
        return Pair(
            PemFile(self.cert_file, f"{self.prefix}CERT_FILE"), PemFile(self.key_file, f"{self.prefix}KEY_FILE")
        )

    def _authorities(self) -> PemFile | None:
        path = self.client_ca_file
        return None if path is None else PemFile(path, f"{self.prefix}CLIENT_CA_FILE")


def _configuration(contents: Contents) -> grpc.ServerCertificateConfiguration:
    certificate, key, authorities = contents
    assert certificate is not None
    assert key is not None
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authorities)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Whom a client trusts, and how it proves who it is. Raises ``ValueError`` for a certificate without a key."""

    ca_file: Path | None = None
    """Whom to trust; None is the system's own store."""
    cert_file: Path | None = None
    """The client's own certificate, for mutual TLS; needs ``key_file``."""
    key_file: Path | None = None
    server_name: str | None = None
    """The name that the server's certificate must carry, where it is not the host of the address."""
    prefix: str = ""
    """How the names of the settings begin, for messages; without one they are ``ca_file`` and so on."""

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("mutual TLS needs both a certificate file and a key file")

    def files(self) -> tuple[PemFile | None, ...]:
        """Certificate, key, authorities of servers."""
        named = (("cert_file", self.cert_file), ("key_file", self.key_file), ("ca_file", self.ca_file))
        return tuple(None if path is None else PemFile(path, self._setting(name)) for name, path in named)

    def check(self, contents: Contents, now: datetime) -> datetime | None:
        """Returns when the client's certificate lapses, if it has one. Raises :class:`TlsFileError`."""
        certificate_file, key_file, authorities_file = self.files()
        certificate, key, authorities = contents
        if authorities_file is not None and authorities is not None:
            check_authorities(authorities_file, authorities, now)
        if certificate_file is None or key_file is None or certificate is None or key is None:
            return None
        return Pair(certificate_file, key_file).check(certificate, key, now)

    def follow(self, now: Clock = utc_now) -> Followed:
        """Raises :class:`TlsFileError` if the files are not good."""
        return Followed(self, now)

    def credentials(self, followed: Followed | None = None) -> grpc.ChannelCredentials:
        """Of what the files hold now, or held when they were last good: a channel keeps what it was made with.

        Raises :class:`TlsFileError` without ``followed``.
        """
        certificate, key, authorities = (followed or self.follow()).contents
        return grpc.ssl_channel_credentials(authorities, key, certificate)

    def options(self) -> list[tuple[str, str]]:
        """Channel arguments."""
        return [] if self.server_name is None else [(_SERVER_NAME, self.server_name)]

    def _setting(self, name: str) -> str:
        return f"{self.prefix}{name.upper()}" if self.prefix else name


def own_client(server: ServerTls, followed: Followed) -> tuple[grpc.ChannelCredentials, list[tuple[str, str]]]:
    """Credentials and channel arguments by which a server's own process reaches it; ``followed`` are its files.

    The certificate is trusted for what it is, whoever signed it, and is presented too, so that a server that demands
    certificates lets its own process in. The authorities of its clients are trusted beside it: where they sign the
    server's certificates as well, a renewed one is known before these files are looked at again. Raises
    :class:`contracts.pem.TlsFileError` if it names no host.
    """
    certificate, key, authorities = followed.contents
    assert certificate is not None
    pair = server.pair()
    names = pair.names(certificate)
    if not names:
        raise pair.certificate.error("holds a certificate that names no host")
    host = names[0].replace("*", "node", 1)  # what a wildcard stands for
    trusted = certificate + b"\n" + (authorities or b"")
    return grpc.ssl_channel_credentials(trusted, key, certificate), [(_SERVER_NAME, host)]


def connection_age(age_s: float, grace_s: float) -> list[tuple[str, int]]:
    """Server arguments: no connection outlives a certificate, its own or the client's, by more than their sum.

    gRPC spreads the age by a tenth. Once it is over the client connects anew for its next calls; those in flight go on
    for ``grace_s`` seconds.
    """
    return [
        ("grpc.max_connection_age_ms", round(age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", round(grace_s * 1000)),
    ]
