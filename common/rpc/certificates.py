"""A process's certificate, key and authority: read with clear errors, and read again by servers once they are renewed.

gRPC asks a server for its certificate at every handshake, so a renewed one needs no restart there. Channels have no
such way: a process presents a new certificate to others after its next start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from common.clock import Clock, SystemClock
from common.errors import InvalidInput
from common.logs import get_logger
from common.settings import TlsFiles

__all__ = ["Certificates", "channel_credentials", "read_certificates", "server_credentials"]

#: When files that were refused are read again although they have not changed: what is in them may be valid by then.
_RETRY_SECONDS: Final = 10.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Certificates:
    """What TLS files hold, as PEM; None where there is no such file.

    Attributes:
        pair: Private key, and certificate chain.
        authority: What peers' certificates are checked with.
    """

    pair: tuple[bytes, bytes] | None
    authority: bytes | None


def read_certificates(tls: TlsFiles, *, now: datetime | None = None) -> Certificates:
    """Read TLS files.

    Args:
        tls: The files; certificate and key both or neither.
        now: When the certificates have to be valid; None for this moment.

    Raises:
        InvalidInput: A file cannot be read, holds something else, or is not valid now, or the key is another
            certificate's. The message names the setting and the file, never what is in it.
    """
    moment = now or datetime.now(UTC)
    pair = None
    if tls.cert_file is not None and tls.key_file is not None:
        chain = _read("tls_cert_file", tls.cert_file)
        certificate = _certificates("tls_cert_file", tls.cert_file, chain)[0]
        if (problem := _problem(certificate, moment)) is not None:
            raise _wrong("tls_cert_file", tls.cert_file, problem, "one that is valid now")
        key = _read("tls_key_file", tls.key_file)
        if _public_key(tls.key_file, key) != certificate.public_key():
            raise _wrong("tls_key_file", tls.key_file, "which is another's", f"the key of {tls.cert_file}")
        pair = (key, chain)
    authority = None
    if tls.ca_file is not None:
        authority = _read("tls_ca_file", tls.ca_file)
        problems = [_problem(item, moment) for item in _certificates("tls_ca_file", tls.ca_file, authority)]
        # Of several the others go on where one has ended: so authorities are replaced without a gap.
        if None not in problems:
            raise _wrong("tls_ca_file", tls.ca_file, f"{problems[0]}", "one that is valid now")
    return Certificates(pair, authority)


def server_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Return the credentials of a server, which follow the files; with an authority, clients need a certificate.

    Raises:
        InvalidInput: As `read_certificates`, or there is no certificate with its key. Later, files that are wrong are
            logged and the ones before are kept.
    """
    if tls.cert_file is None or tls.key_file is None:
        raise InvalidInput(
            "`tls_key_file`: got a certificate or an authority alone, want tls_cert_file and tls_key_file"
        )
    followed = _FollowedFiles(tls)
    credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        followed.first, followed.renewed, require_client_authentication=tls.ca_file is not None
    )
    return credentials


def channel_credentials(tls: TlsFiles | None) -> grpc.ChannelCredentials | None:
    """Return the TLS credentials of a channel; None, hence plain text, without an authority.

    Raises:
        InvalidInput: As `read_certificates`.
    """
    if tls is None or tls.ca_file is None:
        return None
    certificates = read_certificates(tls)
    return grpc.ssl_channel_credentials(certificates.authority, *(certificates.pair or (None, None)))


class _FollowedFiles:
    """Reads a server's files again when they have changed; called by gRPC's threads, before each handshake."""

    def __init__(
        self, tls: TlsFiles, *, clock: Clock | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tls = tls
        self._clock = clock or SystemClock()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: Why the files were refused, and when they are read again; None while those in use are as they are.
        self._refused: tuple[str, float] | None = None
        self._stamps = self._look()
        self.first = _configuration(read_certificates(tls, now=self._clock.now()))

    def renewed(self) -> Any:
        """Return the new configuration, or None to go on with the one before; never raises."""
        with self._lock:
            stamps, seconds = self._look(), self._monotonic()
            if stamps == self._stamps and (self._refused is None or seconds < self._refused[1]):
                return None
            self._stamps = stamps
            try:
                configuration = _configuration(read_certificates(self._tls, now=self._clock.now()))
            except InvalidInput as error:
                # Half of a renewal looks like this, too: the other half changes the stamps again.
                if self._refused is None or self._refused[0] != error.message:
                    _log.warning("certificate_kept", cause=error.message)
                self._refused = error.message, seconds + _RETRY_SECONDS
                return None
            self._refused = None
            _log.info("certificate_renewed", file=str(self._tls.cert_file))
            return configuration

    def _look(self) -> list[tuple[int, int, int] | None]:
        files = (self._tls.cert_file, self._tls.key_file, self._tls.ca_file)
        return [_stamp(path) for path in files if path is not None]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _configuration(certificates: Certificates) -> Any:
    pairs = [certificates.pair] if certificates.pair is not None else []
    return grpc.ssl_server_certificate_configuration(pairs, root_certificates=certificates.authority)


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _wrong(setting, path, f"which cannot be read ({error.strerror})", "a PEM file") from error


def _certificates(setting: str, path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise _wrong(setting, path, "which holds no certificate", "one in PEM") from None


def _problem(certificate: x509.Certificate, now: datetime) -> str | None:
    """Return why a certificate is not valid at a time, None if it is."""
    if now > certificate.not_valid_after_utc:
        return f"which expired at {certificate.not_valid_after_utc}"
    if now < certificate.not_valid_before_utc:
        return f"which is valid from {certificate.not_valid_before_utc} on"
    return None


def _public_key(path: Path, pem: bytes) -> object:
    try:
        return load_pem_private_key(pem, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _wrong(
            "tls_key_file", path, "which holds no private key, or one with a password", "one without, in PEM"
        ) from None


def _wrong(setting: str, path: Path, problem: str, want: str) -> InvalidInput:
    return InvalidInput(f"`{setting}`: got {path}, {problem}, want {want}")
