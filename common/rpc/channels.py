"""Channels to other services: token, request id, deadlines and retries on every call.

What is done to every call is told with the contracts (`protos.calls`); this adds the processes' own certificates,
tokens and request ids. A channel is opened once per process and backend and re-used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from common.errors import InvalidInput, Unauthenticated
from common.logs import request_id
from common.rpc.call_policy import REQUEST_ID_KEY
from common.rpc.certificates import channel_credentials
from common.settings import TlsFiles
from common.telemetry import TRACEPARENT, traceparent
from protos.calls import AioCallDefaults, CallDefaults, TokenFile, channel_options, deadline_seconds

__all__ = [
    "aio_channel",
    "bare_aio_channel",
    "call_metadata",
    "channel",
    "deadline_seconds",
    "file_token",
]


def file_token(path: Path | None) -> Callable[[], str]:
    """Return a function that returns the token in a file, also after the file was replaced.

    Raises:
        Unauthenticated: No file was set, or it cannot be read; raised when the token is needed.
    """
    file = None if path is None else TokenFile(path)

    def current() -> str:
        if file is None:
            raise Unauthenticated("`token_file`: got none, want a file that holds this process's bearer token")
        try:
            return file()
        except OSError as error:
            raise Unauthenticated(f"`token_file`: got {path}, which cannot be read: {error.strerror}") from error

    return current


def channel(target: str, *, token: Callable[[], str] | str, tls: TlsFiles | None = None) -> grpc.Channel:
    """Open a sync channel.

    Args:
        target: `host:port`; or `dns:///host:port`, whose addresses are called in turn.
        token: Bearer token, or a function that returns the current one.
        tls: Certificates; None speaks plain text, for loopback and service meshes.

    Raises:
        InvalidInput: The target is no `host:port`, or the certificates are wrong.
    """
    _check(target)
    credentials = channel_credentials(tls)
    plain = (
        grpc.insecure_channel(target, options=channel_options(target))
        if credentials is None
        else grpc.secure_channel(target, credentials, options=channel_options(target))
    )
    return grpc.intercept_channel(plain, CallDefaults(_metadata(token)))


def aio_channel(target: str, *, token: Callable[[], str] | str, tls: TlsFiles | None = None) -> grpc.aio.Channel:
    """Open an aio channel; arguments as for `channel`."""
    options = channel_options(target)
    return _aio_channel(target, tls=tls, options=options, interceptors=[AioCallDefaults(_metadata(token))])


def bare_aio_channel(target: str, *, tls: TlsFiles | None = None) -> grpc.aio.Channel:
    """Open an aio channel that adds nothing to its calls, and shares its connection with no other channel.

    For who makes thousands of calls a second: an interceptor costs a task and a quarter of each. The caller gives
    `deadline_seconds` and `call_metadata` itself.

    Args:
        target: `host:port`; or `dns:///host:port`, whose addresses are called in turn.
        tls: Certificates; None speaks plain text.
    """
    options = [*channel_options(target), ("grpc.use_local_subchannel_pool", 1)]
    return _aio_channel(target, tls=tls, options=options, interceptors=[])


def call_metadata(token: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a call on a bare channel: token, current request id and trace, and what is given."""
    if parent := traceparent():
        more = (*more, (TRACEPARENT, parent))
    return (*more, ("authorization", f"Bearer {token}"), (REQUEST_ID_KEY, request_id.get()))


def _aio_channel(
    target: str, *, tls: TlsFiles | None, options: list[tuple[str, Any]], interceptors: list[Any]
) -> grpc.aio.Channel:
    _check(target)
    credentials = channel_credentials(tls)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)


def _check(target: str) -> None:
    if ":" not in target:
        raise InvalidInput(f"`target`: got {target!r}, want HOST:PORT")


def _metadata(token: Callable[[], str] | str) -> Callable[[], Iterator[tuple[str, str]]]:
    def entries() -> Iterator[tuple[str, str]]:
        if current := token if isinstance(token, str) else token():
            yield "authorization", f"Bearer {current}"
        if identifier := request_id.get():
            yield REQUEST_ID_KEY, identifier
        if parent := traceparent():
            yield TRACEPARENT, parent

    return entries
