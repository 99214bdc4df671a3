"""Items, users and actions that were put since the snapshots of their features: the last one of each id, by offset.

They are stored with the histories and change in the same transaction as the next offset, so that a reader who has seen
an offset has seen all puts before it. A second index holds them in the order of the log: a reader continues from where
it ended, and what snapshots contain is removed from the front.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from common.deletions import id_digest
from runtime_service.history import Put
from runtime_service.history.eviction import ClockEviction
from runtime_service.history.keys import GROUP_BYTES, ID_BYTES, PUTS, digest, key

__all__ = ["PutStore"]

#: Offset, and length of the id in bytes; id and properties follow.
_HEAD = struct.Struct("<qH")
_PLACE = struct.Struct(">Q")
_PREFIX_BYTES: Final = GROUP_BYTES + 1
_DELETION: Final = b"D"


class PutStore:
    """Puts in two databases of an LMDB environment; transactions are the caller's.

    Args:
        puts: Keys are group, kind and digest of the id; values the offset, the id and the properties.
        order: Keys are group, kind and offset; values the digest of the id. Deletions of users are a kind of their own,
            whose values are folders of the ledger.
        max_puts: Beyond it, those that were put longest ago are removed; None for readers.

    Attributes:
        database: The first of the two.
    """

    def __init__(self, puts: Any, order: Any, *, max_puts: int | None = None) -> None:
        self.database = puts
        self._order = order
        self._eviction = (
            None
            if max_puts is None
            else ClockEviction(puts, max_entries=max_puts, last_used=_offset_of, evicted=self._forget_place)
        )

    def add(self, transaction: Any, puts: Sequence[Put]) -> int:
        """Store puts in the order of the log, and return how many others were removed to make room."""
        for put in puts:
            group, kind = digest(put.dataset_group_arn), PUTS[put.dataset_type]
            self.remove(transaction, key(group, kind, put.entity_id), up_to=put.offset)
            name = put.entity_id.encode(errors="surrogatepass")
            value = _HEAD.pack(put.offset, len(name)) + name + (put.properties_json or "").encode()
            transaction.put(key(group, kind, put.entity_id), value, db=self.database)
            transaction.put(group + kind + _PLACE.pack(put.offset), id_digest(put.entity_id), db=self._order)
        return 0 if self._eviction is None else self._eviction.evict(transaction)

    def find(self, transaction: Any, dataset_group_arn: str, dataset_type: str, entity_id: str) -> Put | None:
        """Return the last put of an id; None for none."""
        value = transaction.get(key(digest(dataset_group_arn), PUTS[dataset_type], entity_id), db=self.database)
        return None if value is None else _put(value, dataset_group_arn, dataset_type)

    def after(
        self, transaction: Any, dataset_group_arn: str, dataset_type: str, *, offset: int, limit: int
    ) -> list[Put]:
        """Return the next puts after an offset, in the order of the log."""
        prefix, puts = digest(dataset_group_arn) + PUTS[dataset_type], list[Put]()
        with transaction.cursor(self._order) as cursor:
            has_entry = cursor.set_range(prefix + _PLACE.pack(offset + 1))
            while has_entry and len(puts) < limit and cursor.key().startswith(prefix):
                value = transaction.get(prefix + cursor.value(), db=self.database)
                puts.append(_put(value, dataset_group_arn, dataset_type))
                has_entry = cursor.next()
        return puts

    def add_deletion(self, transaction: Any, group: bytes, *, up_to: int, location: str) -> None:
        """Note a deletion of users, whom snapshots have for some time yet."""
        transaction.put(group + _DELETION + _PLACE.pack(up_to), location.encode(), db=self._order)

    def deletions(self, transaction: Any, group: bytes) -> list[tuple[int, str]]:
        """Return the deletions of users that were noted: last offset, and folder in the ledger."""
        prefix, noted = group + _DELETION, list[tuple[int, str]]()
        with transaction.cursor(self._order) as cursor:
            has_entry = cursor.set_range(prefix)
            while has_entry and cursor.key().startswith(prefix):
                noted.append((_PLACE.unpack(cursor.key()[_PREFIX_BYTES:])[0], cursor.value().decode()))
                has_entry = cursor.next()
        return noted

    def remove_deletions(self, transaction: Any, *, group: bytes, offset: int) -> None:
        """Remove the notes of deletions before an offset; one up to it may be missing in a snapshot that has it all."""
        for up_to, _ in self.deletions(transaction, group):
            if up_to < offset:
                transaction.delete(group + _DELETION + _PLACE.pack(up_to), db=self._order)

    def remove(self, transaction: Any, put_key: bytes, *, up_to: int) -> None:
        """Remove the put of a key, if there is one up to an offset."""
        value = transaction.get(put_key, db=self.database)
        if value is not None and (offset := _offset_of(value)) <= up_to:
            transaction.delete(put_key, db=self.database)
            self._forget_place(transaction, put_key, offset)

    def remove_up_to(self, transaction: Any, prefix: bytes, *, offset: int, limit: int) -> bool:
        """Remove puts of a group and a kind up to an offset, so many at most; return whether there may be more."""
        with transaction.cursor(self._order) as cursor:
            has_entry = cursor.set_range(prefix)
            for _ in range(limit):
                place = cursor.key() if has_entry else b""
                if not place.startswith(prefix) or _PLACE.unpack(place[_PREFIX_BYTES:])[0] > offset:
                    return False
                transaction.delete(prefix + cursor.value(), db=self.database)
                has_entry = cursor.delete()
        return True

    def _forget_place(self, transaction: Any, put_key: bytes, offset: int) -> None:
        transaction.delete(put_key[:-ID_BYTES] + _PLACE.pack(offset), db=self._order)


def _offset_of(value: bytes) -> int:
    offset, _ = _HEAD.unpack_from(value)
    return int(offset)


def _put(value: bytes, dataset_group_arn: str, dataset_type: str) -> Put:
    offset, length = _HEAD.unpack_from(value)
    end = _HEAD.size + length
    properties = value[end:].decode() or None
    name = value[_HEAD.size : end].decode(errors="surrogatepass")
    return Put(offset, dataset_group_arn, dataset_type, name, properties)
