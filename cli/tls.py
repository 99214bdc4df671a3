"""The certificates of a system on one machine: read from the environment, and tested before any process starts.

Without the test, the only symptom of a wrong certificate would be processes that never become ready.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from common.errors import InvalidInput
from common.settings import TlsFiles

__all__ = ["check_certificates", "tls_files"]

#: The host name by which the processes of one machine call each other.
_HOST = "127.0.0.1"
_VARIABLES = ("TAILORBIRD_TLS_CERT_FILE", "TAILORBIRD_TLS_KEY_FILE", "TAILORBIRD_TLS_CA_FILE")


def tls_files(environ: Mapping[str, str]) -> TlsFiles | None:
    """Return the TLS files that the environment variables name; None when they name none.

    Raises:
        InvalidInput: Some of the variables are set and others are not. All are needed: the processes are clients of
            each other too, and authenticate themselves with their certificate.
    """
    paths = [environ.get(name) for name in _VARIABLES]
    if not any(paths):
        return None
    missing = [name for name, value in zip(_VARIABLES, paths, strict=True) if not value]
    if missing:
        raise InvalidInput(
            f"`{missing[0]}`: got none beside others of TAILORBIRD_TLS_*, want a certificate, a key and an authority: "
            "processes of one machine prove themselves to each other, or speak plain text"
        )
    # Absolute, so that a command in another folder finds them.
    return TlsFiles(*(Path(value).resolve() for value in paths if value))


def check_certificates(tls: TlsFiles) -> None:
    """Do a TLS handshake within this process, as two processes of this machine would.

    Raises:
        InvalidInput: A file cannot be read, or one side refuses the other.
    """
    try:
        _handshake(tls)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
        raise InvalidInput(
            f"`TAILORBIRD_TLS_*`: got certificates with which processes of one machine refuse each other ({reason}), "
            f"want one of this authority, not expired, for servers and clients, with {_HOST} among its names"
        ) from error


def _handshake(tls: TlsFiles) -> None:
    assert tls.cert_file is not None
    assert tls.ca_file is not None
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (server_context, client_context):
        context.load_cert_chain(tls.cert_file, tls.key_file)
        context.load_verify_locations(tls.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client_context.wrap_bio(to_client, to_server, server_hostname=_HOST),
        server_context.wrap_bio(to_server, to_client, server_side=True),
    ]
    # A handshake takes a few messages of each side, and the last of them may still be a rejection.
    for _ in range(4):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
