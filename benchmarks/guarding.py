"""Certificates and a policy for a benchmark's processes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LOOPBACK: Final = "127.0.0.1"
CALLER: Final = "spiffe://benchmark/caller"
NODE: Final = "spiffe://benchmark/node"
LIFETIME: Final = timedelta(days=2)

POLICY: Final = f"""
[[identity]]
spiffe = "{CALLER}"
roles = ["starter"]
definitions = ["*"]
"""


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files of one end of a connection."""

    ca_file: str
    cert_file: str
    key_file: str


@dataclass(frozen=True, slots=True)
class Guards:
    """What mutual TLS takes: files of the load generator, the node and the participants, and the node's policy."""

    caller: Files
    node: Files
    participants: Files
    policy_file: str


def guards(directory: Path) -> Guards:
    """Makes them in a directory of their own, once."""
    directory.mkdir(parents=True, exist_ok=True)
    policy = directory / "policy.toml"
    policy.write_text(POLICY)
    authority, key = _authority()
    ca = directory / "ca.pem"
    ca.write_bytes(authority.public_bytes(Encoding.PEM))
    issued = {
        name: _issue(directory / name, uri, authority, key, str(ca))
        for name, uri in (("caller", CALLER), ("node", NODE), ("participants", "spiffe://benchmark/participants"))
    }
    return Guards(**issued, policy_file=str(policy))


def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    builder = _builder(name, name, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.sign(key, SHA256()), key


def _issue(path: Path, uri: str, authority: x509.Certificate, signing: ec.EllipticCurvePrivateKey, ca: str) -> Files:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.name)])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK)), x509.UniformResourceIdentifier(uri)])
    builder = _builder(subject, authority.subject, key.public_key()).add_extension(names, critical=False)
    cert_file, key_file = path.with_suffix(".pem"), path.with_suffix(".key")
    cert_file.write_bytes(builder.sign(signing, SHA256()).public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Files(ca, str(cert_file), str(key_file))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + LIFETIME)
