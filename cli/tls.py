"""The certificates of a system on one machine: found in the environment, and tried before anything is started.

Without a trial, a certificate that does not fit would show as processes that never become ready.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from common.errors import InvalidInput
from common.settings import TlsFiles

__all__ = ["check_certificates", "tls_files"]

#: By what name the processes of one machine call each other.
_HOST = "127.0.0.1"
_VARIABLES = ("TAILORBIRD_TLS_CERT_FILE", "TAILORBIRD_TLS_KEY_FILE", "TAILORBIRD_TLS_CA_FILE")


def tls_files(environ: Mapping[str, str]) -> TlsFiles | None:
    """Return the certificates that an environment names, None when it names none.

    Raises:
        InvalidInput: One is missing: a process that answers with TLS calls others with TLS, and shows them its own.
    """
    named = [environ.get(name) for name in _VARIABLES]
    if not any(named):
        return None
    missing = [name for name, value in zip(_VARIABLES, named, strict=True) if not value]
    if missing:
        raise InvalidInput(
            f"`{missing[0]}`: got none beside others of TAILORBIRD_TLS_*, want a certificate, a key and an authority: "
            "processes of one machine prove themselves to each other, or speak plain text"
        )
    # Absolute, so that a command in another folder finds them.
    return TlsFiles(*(Path(value).resolve() for value in named if value))


def check_certificates(tls: TlsFiles) -> None:
    """Shake hands with ourselves, as two processes of this machine would.

    Raises:
        InvalidInput: A file cannot be read, or one side would refuse the other.
    """
    try:
        _shake_hands(tls)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
        raise InvalidInput(
            f"`TAILORBIRD_TLS_*`: got certificates with which processes of one machine refuse each other ({why}), want "
            f"one of this authority, not expired, for servers and clients, with {_HOST} among its names"
        ) from error


def _shake_hands(tls: TlsFiles) -> None:
    assert tls.cert_file is not None
    assert tls.ca_file is not None
    answering = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    calling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (answering, calling):
        context.load_cert_chain(tls.cert_file, tls.key_file)
        context.load_verify_locations(tls.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        calling.wrap_bio(to_client, to_server, server_hostname=_HOST),
        answering.wrap_bio(to_server, to_client, server_side=True),
    ]
    # Each side has little to say, and its last word may still be a refusal.
    for _ in range(4):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
