"""Certificates for tests of TLS: an authority, what it signs, and one that nobody trusts."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Signed:
    """PEM files with a certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """An authority, a server's certificate for 127.0.0.1 and a client's that it signs, and another authority."""

    authority: Path
    server: Signed
    client: Signed
    stranger: Path


def make_certificates(folder: Path) -> Certificates:
    """Writes such certificates, which hold for a day."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _make(folder, "authority", authority_key, "authority", authority_key)
    server, client = (
        _make(folder, name, ec.generate_private_key(ec.SECP256R1()), "authority", authority_key)
        for name in ("server", "client")
    )
    stranger_key = ec.generate_private_key(ec.SECP256R1())
    stranger = _make(folder, "stranger", stranger_key, "stranger", stranger_key)
    return Certificates(authority.certificate, server, client, stranger.certificate)


def _make(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> Signed:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(True, False, False, False, False, name == issuer, name == issuer, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    signed = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    signed.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    signed.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return signed
