"""How the services of these contracts are called: deadlines, retries, load balancing, and what every call carries.

It needs gRPC alone, because it is a part of the client package as well as of this project's processes.

Deadlines and retry policy are data (`service_config.json`). gRPC itself applies the policy; the deadlines are set with
every call, because gRPC measures those of a service config with the processor's cycle counter, whose frequency it
estimates when it is loaded: the error grows with the time since the machine was started (gRPC 1.74 to 1.85, x86 Linux:
2 s became 0.3 s after 100 minutes).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

__all__ = ["AioCallDefaults", "CallDefaults", "TokenFile", "channel_options", "deadline_seconds"]

_TIMEOUT: Final = "timeout"
#: Schemes of targets that stand for several processes: a name with several addresses, or a list of addresses.
_SEVERAL: Final = ("dns:", "ipv4:", "ipv6:")
_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024  # a page of 10 000 log events is larger than the default of 4 MiB
Metadata = Callable[[], Iterable[tuple[str, str]]]


@lru_cache(maxsize=1)
def _config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads(resources.files(__package__).joinpath("service_config.json").read_text())
    return config


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


def channel_options(target: str) -> list[tuple[str, Any]]:
    """Return the options of a channel: the service config without deadlines, limits, pings, pauses before reconnecting.

    A target with a scheme (`dns:///NAME:PORT`, `ipv4:ADDRESS:PORT,ADDRESS:PORT`) may stand for several processes. Calls
    go to all of its addresses in turn, and only to those whose health service says that they serve. Any other target
    is one address: it is called whatever it says.
    """
    methods = [{key: value for key, value in entry.items() if key != _TIMEOUT} for entry in _config()["methodConfig"]]
    config = {**_config(), "methodConfig": methods}
    if target.startswith(_SEVERAL):
        config |= {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
    return [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        # Reconnect to a restarted server within a second, not after gRPC's default of up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # A peer that vanished without a word, such as one behind a firewall, is noticed within forty seconds.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


class TokenFile:
    """Returns the token in a file when called.

    Each call checks the file (one stat) and reads it when it was replaced, so that a new token needs no restart.

    Args:
        path: The file; it need not be there before the first call.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cached: tuple[tuple[int, int], str] | None = None

    def __call__(self) -> str:
        """Return the token.

        Raises:
            OSError: The file cannot be read.
        """
        state = self._path.stat()
        stamp = (state.st_mtime_ns, state.st_ino)
        if self._cached is None or self._cached[0] != stamp:
            self._cached = (stamp, self._path.read_text().strip())
        return self._cached[1]


class CallDefaults(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Gives calls the deadline of their method, and metadata, where they have none of their own.

    Args:
        metadata: Returns the entries for a call.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Complete the details of one call."""
        metadata = _completed(client_call_details.metadata, self._metadata())
        return continuation(_Details(client_call_details, metadata), request)


class AioCallDefaults(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """The same for channels of `grpc.aio`; arguments as of `CallDefaults`."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Complete the details of one call."""
        details = grpc.aio.ClientCallDetails(
            client_call_details.method,
            _seconds(client_call_details),
            grpc.aio.Metadata(*_completed(client_call_details.metadata, self._metadata())),
            client_call_details.credentials,
            client_call_details.wait_for_ready,
        )
        return await continuation(details, request)


class _Details(grpc.ClientCallDetails):
    def __init__(self, old: Any, metadata: list[tuple[str, Any]]) -> None:
        self.method = old.method
        self.timeout = _seconds(old)
        self.metadata = tuple(metadata)
        self.credentials = old.credentials
        self.wait_for_ready = old.wait_for_ready
        self.compression = old.compression


def _seconds(details: Any) -> float:
    # The aio API gives the method as bytes.
    method = details.method.decode() if isinstance(details.method, bytes) else details.method
    return deadline_seconds(method) if details.timeout is None else float(details.timeout)


def _completed(given: Any, entries: Iterable[tuple[str, str]]) -> list[tuple[str, Any]]:
    completed = [(key, value) for key, value in (given or ())]
    keys = {key for key, _ in completed}
    return completed + [entry for entry in entries if entry[0] not in keys]
