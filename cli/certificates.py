"""Makes a certificate authority and a certificate, to try TLS with.

They are not meant for production: there, use certificates of the authority of your service mesh or company.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import InvalidInput
from common.private_files import replace_private
from common.settings import TlsFiles

__all__ = ["HOSTS", "make_certificates"]

#: This machine, and the services of docker-compose.yml.
HOSTS = (
    "localhost", "127.0.0.1", "::1", "control-plane", "events-service", "runtime-service", "trainer", "gateway",
)  # fmt: skip


def make_certificates(folder: Path, *, hosts: Sequence[str] = HOSTS, lifetime: timedelta) -> TlsFiles:
    """Write the certificate of a new authority, and one certificate signed by it, for servers and clients alike.

    The authority's private key is never written, so that no further certificate can be signed with it.

    Args:
        folder: Where `ca.pem`, `cert.pem` and `key.pem` are written.
        hosts: Names and addresses that the certificate is valid for.
        lifetime: How long both are valid.

    Raises:
        InvalidInput: The folder has a certificate already, which is never overwritten.
        OSError: The folder cannot be written.
    """
    files = TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    if (folder / "cert.pem").exists():
        raise InvalidInput(f"`folder`: got {folder}, which holds a certificate already, want another or an empty one")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name("Tailorbird trial authority")
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _builder(issuer, issuer, authority_key, lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(_name("tailorbird"), issuer, key, lifetime)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    replace_private(folder / "ca.pem", authority.public_bytes(serialization.Encoding.PEM).decode())
    replace_private(folder / "key.pem", private.decode())
    replace_private(folder / "cert.pem", certificate.public_bytes(serialization.Encoding.PEM).decode())
    return files


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # The clocks of other machines may be a little slow.
        .not_valid_before(now - timedelta(minutes=10))
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
