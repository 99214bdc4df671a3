"""How often everybody used each item lately, by quarter of an hour: what recipes rank by that need no training.

Counters lie beside the histories and change in the same transaction, so each event of the log counts exactly once. A
reader keeps what it has read: each bucket carries the offset of the last event that changed it, and only those that
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
from runtime_service.history import BucketCounts, Counted, LoggedEvent

__all__ = ["CountStore", "bucket_of"]

#: What the longest intervals need, in buckets.
_KEPT: Final = DEPTH * max(FREQUENCIES.values()) // BUCKET_SECONDS
#: Clocks that run ahead by more, in buckets, are not believed.
_AHEAD: Final = 86_400 // BUCKET_SECONDS
_GROUP_BYTES, _BUCKET = 8, struct.Struct(">I")
#: The count and the length of the event type in bytes; type and item follow.
_ENTRY = struct.Struct("<IH")
_OFFSET = struct.Struct("<q")


def bucket_of(seconds: float) -> int:
    """Return the quarter of an hour that a moment lies in."""
    return int(seconds // BUCKET_SECONDS)


class CountStore:
    """The counters in two databases of an LMDB environment; transactions are the caller's.

    Args:
        counters: By group, bucket and a digest of event type and item.
        buckets: By group and bucket: the offset of the last event.
        most: Counters at most; beyond, those of the oldest buckets are forgotten.
    """

    def __init__(self, counters: Any, buckets: Any, *, most: int | None = None) -> None:
        self._counters = counters
        self._buckets = buckets
        self._most = most

    def add(self, transaction: Any, events: list[tuple[bytes, LoggedEvent]], *, now: float) -> None:
        """Count events.

        Args:
            transaction: That writes.
            events: With the key of the group of each; those that are too old to matter are passed over.
            now: Seconds since 1970.
        """
        present = bucket_of(now)
        counts: Counter[tuple[bytes, str, str]] = Counter()
        offsets: dict[bytes, int] = {}
        for group, event in events:
            bucket = bucket_of(event.millis / 1000)
            if present - _KEPT < bucket <= present + _AHEAD:
                place = group + _BUCKET.pack(bucket)
                counts[place, event.event_type, event.item_id] += 1
                offsets[place] = max(event.offset, offsets.get(place, 0))
        for (place, event_type, item_id), count in counts.items():
            self._increase(transaction, place, event_type, item_id, count)
        for place, offset in offsets.items():
            if transaction.get(place, db=self._buckets) is None:
                self._forget_old(transaction, place[:_GROUP_BYTES], oldest=present - _KEPT)
            transaction.put(place, _OFFSET.pack(offset), db=self._buckets)
        if self._most is not None:
            self._keep(transaction, self._most)

    def read(
        self, transaction: Any, group: bytes, *, first: int, known: Mapping[int, Position], lineage: Lineage
    ) -> Iterator[BucketCounts]:
        """Read the buckets of a group from a first one on.

        Args:
            transaction: That reads.
            group: Key of the group.
            first: Bucket.
            known: The last place of each bucket that was read before.
            lineage: Of the log that was counted.
        """
        with transaction.cursor(self._buckets) as cursor:
            for place, value in _from(cursor, group + _BUCKET.pack(max(0, first)), prefix=group):
                (bucket,), (offset,) = _BUCKET.unpack(place[_GROUP_BYTES:]), _OFFSET.unpack(value)
                last = lineage.at(offset)
                same = known.get(bucket) == last
                yield BucketCounts(bucket, last, None if same else tuple(self._counted(transaction, place)))

    def forget(self, transaction: Any, group: bytes, *, up_to: int) -> None:
        """Remove the buckets of a group in which nothing was counted behind an offset."""
        with transaction.cursor(self._buckets) as cursor:
            places = [place for place, value in _from(cursor, group, prefix=group) if _OFFSET.unpack(value)[0] <= up_to]
        for place in places:
            transaction.delete(place, db=self._buckets)
            with transaction.cursor(self._counters) as cursor:
                found = cursor.set_range(place)
                while found and cursor.key().startswith(place):
                    found = cursor.delete()

    def _increase(self, transaction: Any, place: bytes, event_type: str, item_id: str, count: int) -> None:
        name = event_type.encode()
        text = name + item_id.encode()
        key = place + hashlib.blake2b(_ENTRY.pack(0, len(name)) + text, digest_size=16).digest()
        before = transaction.get(key, db=self._counters)
        total = count if before is None else count + _ENTRY.unpack_from(before)[0]
        transaction.put(key, _ENTRY.pack(total, len(name)) + text, db=self._counters)

    def _counted(self, transaction: Any, place: bytes) -> Iterator[Counted]:
        with transaction.cursor(self._counters) as cursor:
            for _, value in _from(cursor, place, prefix=place):
                count, length = _ENTRY.unpack_from(value)
                text = value[_ENTRY.size :]
                yield Counted(text[:length].decode(), text[length:].decode(), count)

    def _keep(self, transaction: Any, most: int) -> None:
        """Remove counters of the oldest buckets, whichever group's, while there are too many."""
        while (beyond := transaction.stat(self._counters)["entries"] - most) > 0:
            with transaction.cursor(self._buckets) as cursor:
                places = [place for place, _ in cursor]
            if not places:
                return
            oldest = min(places, key=lambda place: place[_GROUP_BYTES:])
            with transaction.cursor(self._counters) as cursor:
                found = cursor.set_range(oldest) and cursor.key().startswith(oldest)
                while found and beyond:
                    beyond -= 1
                    found = cursor.delete() and cursor.key().startswith(oldest)
            if not found:
                transaction.delete(oldest, db=self._buckets)

    def _forget_old(self, transaction: Any, group: bytes, *, oldest: int) -> None:
        """Remove what no interval reaches any more; called when a group's next bucket begins."""
        end = group + _BUCKET.pack(max(0, oldest))
        for database in (self._counters, self._buckets):
            with transaction.cursor(database) as cursor:
                found = cursor.set_range(group)
                while found and cursor.key() < end:
                    found = cursor.delete()


def _from(cursor: Any, start: bytes, *, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    if cursor.set_range(start):
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value
