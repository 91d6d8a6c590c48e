"""PEM files of TLS: read whole, and checked before anything is done with them. Errors name the file and the setting."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

MAX_FILE_BYTES: Final = 1 << 20

Clock = Callable[[], datetime]
ReadT = TypeVar("ReadT")


def utc_now() -> datetime:
    """The wall clock: the one that certificates go by."""
    return datetime.now(UTC)


class TlsFileError(ValueError):
    """A file of TLS cannot be used. The message names it and the setting, and holds nothing of its content."""


@dataclass(frozen=True, slots=True)
class PemFile:
    """One file, and the name of the setting that gave it."""

    path: Path
    setting: str

    def read(self) -> bytes:
        """The content. Raises :class:`TlsFileError`."""
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}") from None
        if len(content) > MAX_FILE_BYTES:
            raise self.error(f"has more than {MAX_FILE_BYTES} bytes")
        return content

    def error(self, what: str) -> TlsFileError:
        """``what`` goes on after the name of the file."""
        return TlsFileError(f"{self.setting}: the file {self.path} {what}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, with the chain that leads to an authority, and its key; the files hold both or are no pair."""

    certificate: PemFile
    key: PemFile

    def check(self, certificate: bytes, key: bytes, now: datetime) -> datetime:
        """Returns when it lapses. Raises :class:`TlsFileError`."""
        leaf = _certificates(self.certificate, certificate)[0]
        if not now < leaf.not_valid_after_utc:
            raise self.certificate.error(
                f"holds a certificate that lapsed at {leaf.not_valid_after_utc:%FT%TZ}: renew it"
            )
        if now < leaf.not_valid_before_utc:
            raise self.certificate.error(
                f"holds a certificate that is not valid before {leaf.not_valid_before_utc:%FT%TZ}"
            )
        if _public(leaf) != _public(_private_key(self.key, key)):
            raise self.key.error(f"holds no key of the certificate in {self.certificate.path}")
        return leaf.not_valid_after_utc

    def names(self, certificate: bytes) -> Sequence[str]:
        """Host names and addresses that the certificate is for. Raises :class:`TlsFileError`."""
        leaf = _certificates(self.certificate, certificate)[0]
        try:
            found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ()
        addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
        return (*found.get_values_for_type(x509.DNSName), *addresses)


def check_authorities(file: PemFile, content: bytes, now: datetime) -> None:
    """Raises :class:`TlsFileError` unless at least one certificate counts; old ones may stand beside new ones."""
    if not any(one.not_valid_before_utc <= now < one.not_valid_after_utc for one in _certificates(file, content)):
        raise file.error("holds no certificate that is valid now: renew it")


def _certificates(file: PemFile, content: bytes) -> list[x509.Certificate]:
    return _parsed(file, content, x509.load_pem_x509_certificates, "no certificate in PEM")


def _private_key(file: PemFile, content: bytes) -> PrivateKeyTypes:
    def load(pem: bytes) -> PrivateKeyTypes:
        return load_pem_private_key(pem, password=None)

    return _parsed(file, content, load, "no private key in PEM that needs no password")


def _parsed(file: PemFile, content: bytes, load: Callable[[bytes], ReadT], else_holds: str) -> ReadT:
    try:
        return load(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # whose texts may quote the content
        raise file.error(f"holds {else_holds}") from None


def _public(holder: x509.Certificate | PrivateKeyTypes) -> bytes:
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
