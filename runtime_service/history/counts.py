"""How often all users together used each item lately, by quarter of an hour: what trending recipes rank by.

Counters are stored with the histories and change in the same transaction, so each event of the log counts exactly once.
Readers cache what they have read: each bucket has the offset of the last event that changed it, and only buckets that
changed are read again.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from common.positions import Lineage, Position
from recipes.models.trending.config import FREQUENCIES
from recipes.models.trending.rates import DEPTH
from recipes.models.trending.score import BUCKET_SECONDS
from runtime_service.history import BucketCounts, HistoryEvent, ItemCount

__all__ = ["CountStore", "bucket_of"]

#: Buckets that are kept: those that the longest intervals need.
_KEPT: Final = DEPTH * max(FREQUENCIES.values()) // BUCKET_SECONDS
#: Events that are further ahead of this host's clock, in buckets, are not counted.
_AHEAD: Final = 86_400 // BUCKET_SECONDS
_GROUP_BYTES, _BUCKET = 8, struct.Struct(">I")
#: The count and the length of the event type in bytes; type and item follow.
_ENTRY = struct.Struct("<IH")
_OFFSET = struct.Struct("<q")


def bucket_of(seconds: float) -> int:
    """Return the bucket, a quarter of an hour, of a time in seconds since 1970."""
    return int(seconds // BUCKET_SECONDS)


class CountStore:
    """The counters in two databases of an LMDB environment; transactions are the caller's.

    Args:
        counters: Keys are group, bucket and a digest of event type and item; values the count, event type and item.
        buckets: Keys are group and bucket; values the offset of the last event.
        max_counters: Beyond it, counters of the oldest buckets are removed; None for readers.
    """

    def __init__(self, counters: Any, buckets: Any, *, max_counters: int | None = None) -> None:
        self._counters = counters
        self._buckets = buckets
        self._max_counters = max_counters

    def add(self, transaction: Any, events: list[tuple[bytes, HistoryEvent]], *, now: float) -> None:
        """Count events by item and bucket of time.

        Args:
            transaction: A write transaction.
            events: Each with the key of its group; those that are too old are skipped.
            now: The present time in seconds since 1970.
        """
        present = bucket_of(now)
        counts: Counter[tuple[bytes, str, str]] = Counter()
        offsets: dict[bytes, int] = {}
        for group, event in events:
            bucket = bucket_of(event.millis / 1000)
            if present - _KEPT < bucket <= present + _AHEAD:
                bucket_key = group + _BUCKET.pack(bucket)
                counts[bucket_key, event.event_type, event.item_id] += 1
                offsets[bucket_key] = max(event.offset, offsets.get(bucket_key, 0))
        for (bucket_key, event_type, item_id), count in counts.items():
            self._increase(transaction, bucket_key, event_type, item_id, count)
        for bucket_key, offset in offsets.items():
            if transaction.get(bucket_key, db=self._buckets) is None:
                self._remove_old(transaction, bucket_key[:_GROUP_BYTES], oldest=present - _KEPT)
            transaction.put(bucket_key, _OFFSET.pack(offset), db=self._buckets)
        if self._max_counters is not None:
            self._evict(transaction, self._max_counters)

    def read(
        self, transaction: Any, group: bytes, *, first: int, read_positions: Mapping[int, Position], lineage: Lineage
    ) -> Iterator[BucketCounts]:
        """Read the buckets of a group from a first one on.

        Args:
            transaction: A read transaction.
            group: Key of the group.
            first: The oldest bucket to read.
            read_positions: The last position of each bucket that was read before.
            lineage: Epochs of the log that was counted.
        """
        with transaction.cursor(self._buckets) as cursor:
            for bucket_key, value in _from(cursor, group + _BUCKET.pack(max(0, first)), prefix=group):
                (bucket,), (offset,) = _BUCKET.unpack(bucket_key[_GROUP_BYTES:]), _OFFSET.unpack(value)
                last = lineage.at(offset)
                is_unchanged = read_positions.get(bucket) == last
                yield BucketCounts(
                    bucket, last, None if is_unchanged else tuple(self._counted(transaction, bucket_key))
                )

    def remove(self, transaction: Any, group: bytes, *, up_to: int) -> None:
        """Remove the buckets of a group in which nothing was counted after an offset."""
        with transaction.cursor(self._buckets) as cursor:
            bucket_keys = [
                bucket_key
                for bucket_key, value in _from(cursor, group, prefix=group)
                if _OFFSET.unpack(value)[0] <= up_to
            ]
        for bucket_key in bucket_keys:
            transaction.delete(bucket_key, db=self._buckets)
            with transaction.cursor(self._counters) as cursor:
                has_entry = cursor.set_range(bucket_key)
                while has_entry and cursor.key().startswith(bucket_key):
                    has_entry = cursor.delete()

    def _increase(self, transaction: Any, bucket_key: bytes, event_type: str, item_id: str, count: int) -> None:
        name = event_type.encode()
        text = name + item_id.encode()
        key = bucket_key + hashlib.blake2b(_ENTRY.pack(0, len(name)) + text, digest_size=16).digest()
        before = transaction.get(key, db=self._counters)
        total = count if before is None else count + _ENTRY.unpack_from(before)[0]
        transaction.put(key, _ENTRY.pack(total, len(name)) + text, db=self._counters)

    def _counted(self, transaction: Any, bucket_key: bytes) -> Iterator[ItemCount]:
        with transaction.cursor(self._counters) as cursor:
            for _, value in _from(cursor, bucket_key, prefix=bucket_key):
                count, length = _ENTRY.unpack_from(value)
                text = value[_ENTRY.size :]
                yield ItemCount(text[:length].decode(), text[length:].decode(), count)

    def _evict(self, transaction: Any, max_counters: int) -> None:
        """Remove counters of the oldest buckets, whichever group's, while there are too many."""
        while (excess := transaction.stat(self._counters)["entries"] - max_counters) > 0:
            with transaction.cursor(self._buckets) as cursor:
                bucket_keys = [bucket_key for bucket_key, _ in cursor]
            if not bucket_keys:
                return
            oldest = min(bucket_keys, key=lambda bucket_key: bucket_key[_GROUP_BYTES:])
            with transaction.cursor(self._counters) as cursor:
                has_entry = cursor.set_range(oldest) and cursor.key().startswith(oldest)
                while has_entry and excess:
                    excess -= 1
                    has_entry = cursor.delete() and cursor.key().startswith(oldest)
            if not has_entry:
                transaction.delete(oldest, db=self._buckets)

    def _remove_old(self, transaction: Any, group: bytes, *, oldest: int) -> None:
        """Remove buckets that no interval needs any more; called when a group's next bucket begins."""
        end = group + _BUCKET.pack(max(0, oldest))
        for database in (self._counters, self._buckets):
            with transaction.cursor(database) as cursor:
                has_entry = cursor.set_range(group)
                while has_entry and cursor.key() < end:
                    has_entry = cursor.delete()


def _from(cursor: Any, start: bytes, *, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    if cursor.set_range(start):
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value
