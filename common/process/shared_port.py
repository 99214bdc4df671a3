"""The one port of all workers: held by the parent, so that it is theirs before, between and after them.

Workers share a port by `SO_REUSEPORT`, which would also share it with a forgotten process of the same user.
The parent therefore takes it alone first, and only then allows others of its kind on it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from common.errors import InvalidInput

__all__ = ["shared_port"]


@contextmanager
def shared_port(address: str) -> Iterator[str]:
    """Hold a port without listening on it, for servers that share it.

    Args:
        address: `host:port`; port 0 picks a free one.

    Yields:
        `host:port` to bind with `SO_REUSEPORT`.

    Raises:
        InvalidInput: The address is none, or somebody else listens on it.
    """
    host, _, port = address.rpartition(":")
    try:
        family, _, _, _, target = socket.getaddrinfo(
            host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if target[1] != int(port):
            raise OverflowError("ports end at 65535")  # the system takes the number's last 16 bits
        held = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, ValueError, OverflowError) as error:
        raise _unusable(address, error) from error
    with closing(held):
        try:
            # Connections of a predecessor that still wind down do not count; one that listens does.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(target)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except OSError as error:
            raise _unusable(address, error) from error
        yield f"{host}:{held.getsockname()[1]}"


def _unusable(address: str, error: Exception) -> InvalidInput:
    return InvalidInput(f"`listen`: got {address}, which cannot be bound ({error}), want a free HOST:PORT")
