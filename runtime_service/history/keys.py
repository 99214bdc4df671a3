"""Keys of the store: the digest of a dataset group, a letter for the kind, and the digest of an id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from common.deletions import id_digest

__all__ = ["GROUP_BYTES", "ID_BYTES", "KEY_BYTES", "LISTED", "LOGGED", "PUTS", "USED", "digest", "group_digest", "key"]

GROUP_BYTES: Final = 8
ID_BYTES: Final = 16
KEY_BYTES: Final = GROUP_BYTES + 1 + ID_BYTES
#: Letters of users and of sessions, by the type of the dataset that says what they did.
USED: Final[Mapping[str, tuple[bytes, bytes]]] = MappingProxyType(
    {"INTERACTIONS": (b"u", b"s"), "ACTION_INTERACTIONS": (b"a", b"t")}
)
#: Letters of items that events list as shown, and of those that recommendations showed.
LISTED: Final = b"i"
LOGGED: Final = b"r"
#: Letters of what was put, by the type of its dataset.
PUTS: Final[Mapping[str, bytes]] = MappingProxyType({"ITEMS": b"I", "USERS": b"U", "ACTIONS": b"A"})


def key(group: bytes, kind: bytes, identifier: str) -> bytes:
    """Return the key of an id of a kind in a group."""
    return group + kind + id_digest(identifier)


@lru_cache(maxsize=1024)
def group_digest(dataset_group_arn: str) -> bytes:
    """Return what stands for a dataset group."""
    return digest(dataset_group_arn)


def digest(text: str, *, size: int = GROUP_BYTES) -> bytes:
    """Return the digest of a text; by default what stands for a dataset group."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest()
