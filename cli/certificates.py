"""Makes a certificate authority and certificates for all processes, to develop and to try TLS with.

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

__all__ = ["SERVICES", "make_certificates"]

#: The processes, as docker-compose.yml names their hosts.
SERVICES = ("control-plane", "events-service", "runtime-service", "trainer", "gateway")
#: Whose certificate is good for callers only.
_CALLER = "client"
#: This machine, as the certificates of all processes name it.
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
_CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def make_certificates(folder: Path, *, hosts: Sequence[str] = (), lifetime: timedelta) -> TlsFiles:
    """Write the certificate of a new authority, and certificates signed by it.

    The folder itself gets one that is good for every process, on this machine and behind the names of
    docker-compose.yml. A folder in it for each process has one for that process alone, as server and as client, and
    `client` one that is good for callers only. The authority's private key is never written, so that no further
    certificate can be signed with it.

    Args:
        folder: Where `ca.pem`, `cert.pem` and `key.pem` are written, and the folders.
        hosts: Names and addresses that the certificates of servers are valid for; none for this machine and the names
            of docker-compose.yml.
        lifetime: How long all are valid.

    Returns:
        The files of the certificate that is good for every process.

    Raises:
        InvalidInput: The folder, or one of those in it, has a certificate or key already: none is ever overwritten.
        OSError: The folder cannot be written.
    """
    for part in (folder, *(folder / name for name in (*SERVICES, _CALLER))):
        if any((part / name).exists() for name in ("ca.pem", "cert.pem", "key.pem")):
            raise InvalidInput(f"`folder`: got {part}, which holds a certificate or key already, want another one")
    authority = _Authority(lifetime)
    files = authority.sign(folder, "tailorbird", hosts=hosts or (*LOOPBACK, *SERVICES), uses=_BOTH)
    for service in SERVICES:
        authority.sign(folder / service, service, hosts=hosts or (*LOOPBACK, service), uses=_BOTH)
    authority.sign(folder / _CALLER, _CALLER, hosts=(), uses=_CLIENT)
    return files


class _Authority:
    """Signs certificates with a key that lives as long as this object."""

    def __init__(self, lifetime: timedelta) -> None:
        self._lifetime = lifetime
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Tailorbird trial authority")
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._certificate = (
            _builder(self._name, self._name, self._key, lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(self._identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def sign(self, folder: Path, name: str, *, hosts: Sequence[str], uses: Sequence[x509.ObjectIdentifier]) -> TlsFiles:
        """Write a new key, its certificate and the authority's to a folder."""
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier)
        builder = (
            _builder(_name(name), self._name, key, self._lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(identifier, critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
        replace_private(folder / "ca.pem", self._certificate.public_bytes(serialization.Encoding.PEM).decode())
        replace_private(folder / "key.pem", private.decode())
        certificate = builder.sign(self._key, hashes.SHA256())
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
