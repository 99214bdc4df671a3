"""Channels to other services: token, request id, deadlines and retries on every call.

Deadlines and retry policy are data (`protos/service_config.json`). gRPC itself applies the policy; the deadlines are
set with every call, because gRPC measures those of a service config with the processor's cycle counter, whose
frequency it estimates when it is loaded: the error grows with the time since the machine was started (gRPC 1.74
to 1.85, x86 Linux: 2 s became 0.3 s after 100 minutes). A channel is opened once per process and backend and re-used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from common.errors import InvalidInput, Unauthenticated
from common.logs import request_id
from common.rpc.call_policy import REQUEST_ID_KEY
from common.rpc.certificates import channel_credentials
from common.settings import TlsFiles

__all__ = [
    "aio_channel",
    "bare_aio_channel",
    "call_metadata",
    "channel",
    "deadline_seconds",
    "file_token",
]

_TIMEOUT: Final = "timeout"
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # a page of 10 000 log events is larger than the default of 4 MiB


@lru_cache(maxsize=1)
def _config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads(resources.files("protos").joinpath("service_config.json").read_text())
    return config


@lru_cache(maxsize=1)
def _retry_policies() -> str:
    """Return gRPC's service config without the deadlines."""
    methods = [{key: value for key, value in entry.items() if key != _TIMEOUT} for entry in _config()["methodConfig"]]
    return json.dumps({**_config(), "methodConfig": methods})


@lru_cache(maxsize=1)
def _deadlines() -> dict[tuple[str, str], float]:
    return {
        (name.get("service", ""), name.get("method", "")): float(entry[_TIMEOUT].removesuffix("s"))
        for entry in _config()["methodConfig"]
        for name in entry["name"]
    }


@lru_cache(maxsize=1024)
def deadline_seconds(method: str) -> float:
    """Return the deadline of calls without one of their own.

    The most specific entry of the service config applies: the method's, else the service's, else the default.

    Args:
        method: `/package.Service/Method`.
    """
    _, service, name = method.split("/")
    deadlines = _deadlines()
    return next(deadlines[key] for key in ((service, name), (service, ""), ("", "")) if key in deadlines)


def file_token(path: Path | None) -> Callable[[], str]:
    """Return a function that returns the token in a file.

    Each call checks the file (one stat) and reads it when it was replaced, so that a new token needs no restart.

    Raises:
        Unauthenticated: No file was set, or it cannot be read; raised when the token is needed.
    """
    cached: tuple[int, str] = (-1, "")

    def current() -> str:
        nonlocal cached
        if path is None:
            raise Unauthenticated("`token_file`: got none, want a file that holds this process's bearer token")
        try:
            stamp = path.stat().st_mtime_ns
            if stamp != cached[0]:
                cached = (stamp, path.read_text().strip())
        except OSError as error:
            raise Unauthenticated(f"`token_file`: got {path}, which cannot be read: {error.strerror}") from error
        return cached[1]

    return current


def _options() -> list[tuple[str, Any]]:
    return [
        ("grpc.service_config", _retry_policies()),
        ("grpc.enable_retries", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        # Reconnect to a restarted server within a second, not after gRPC's default of up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


def channel(target: str, *, token: Callable[[], str] | str, tls: TlsFiles | None = None) -> grpc.Channel:
    """Open a sync channel.

    Args:
        target: `host:port`.
        token: Bearer token, or a function that returns the current one.
        tls: Certificates; None speaks plain text, for loopback and service meshes.

    Raises:
        InvalidInput: The target is no `host:port`, or the certificates are wrong.
    """
    _check(target)
    credentials = channel_credentials(tls)
    plain = (
        grpc.insecure_channel(target, options=_options())
        if credentials is None
        else grpc.secure_channel(target, credentials, options=_options())
    )
    return grpc.intercept_channel(plain, _Metadata(_source(token)))


def aio_channel(target: str, *, token: Callable[[], str] | str, tls: TlsFiles | None = None) -> grpc.aio.Channel:
    """Open an aio channel; arguments as for `channel`."""
    return _aio_channel(target, tls=tls, options=_options(), interceptors=[_AioMetadata(_source(token))])


def bare_aio_channel(target: str, *, tls: TlsFiles | None = None) -> grpc.aio.Channel:
    """Open an aio channel that adds nothing to its calls, and shares its connection with no other channel.

    For who makes thousands of calls a second: an interceptor costs a task and a quarter of each. The caller gives
    `deadline_seconds` and `call_metadata` itself.

    Args:
        target: `host:port`.
        tls: Certificates; None speaks plain text.
    """
    return _aio_channel(target, tls=tls, options=[*_options(), ("grpc.use_local_subchannel_pool", 1)], interceptors=[])


def call_metadata(token: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a call on a bare channel: the bearer token, the current request id, and what is given."""
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


def _source(token: Callable[[], str] | str) -> Callable[[], str]:
    if isinstance(token, str):
        return lambda: token
    return token


def _seconds(details: Any) -> float:
    # The aio API gives the method as bytes.
    method = details.method.decode() if isinstance(details.method, bytes) else details.method
    return deadline_seconds(method) if details.timeout is None else float(details.timeout)


def _metadata(old: Any, token: str) -> list[tuple[str, str]]:
    entries = [(key, value) for key, value in (old or ())]
    if token and not any(key == "authorization" for key, _ in entries):
        entries.append(("authorization", f"Bearer {token}"))
    if (current := request_id.get()) and not any(key == REQUEST_ID_KEY for key, _ in entries):
        entries.append((REQUEST_ID_KEY, current))
    return entries


class _Details(grpc.ClientCallDetails):
    def __init__(self, old: Any, metadata: list[tuple[str, str]]) -> None:
        self.method = old.method
        self.timeout = _seconds(old)
        self.metadata = tuple(metadata)
        self.credentials = old.credentials
        self.wait_for_ready = old.wait_for_ready
        self.compression = old.compression


class _Metadata(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        metadata = _metadata(client_call_details.metadata, self._token())
        return continuation(_Details(client_call_details, metadata), request)


class _AioMetadata(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*_metadata(client_call_details.metadata, self._token()))
        details = grpc.aio.ClientCallDetails(
            client_call_details.method,
            _seconds(client_call_details),
            metadata,
            client_call_details.credentials,
            client_call_details.wait_for_ready,
        )
        return await continuation(details, request)
