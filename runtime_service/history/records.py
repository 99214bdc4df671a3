"""The binary format of one user's recent events: the newest offset, then the events one after another.

The newest offset comes first, so that a reader who has seen it need not read on. For an item that was shown, the store
has the offsets of the newest events that showed it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from common.positions import Epoch, Lineage, Position
from inference.recent_events import RecentEvent

__all__ = [
    "StoredHistory",
    "count_after",
    "encode",
    "encode_lineage",
    "last_offset",
    "last_shown",
    "lineage_of",
    "offsets_after",
    "with_offset",
]

_LEGACY = Lineage.legacy()
#: Epoch and first offset.
_EPOCH = struct.Struct("<qq")
_HEAD = struct.Struct("<q")
# Offset, milliseconds, fingerprint, value, lengths of the event type and of the item id in bytes.
_EVENT = struct.Struct("<qqQdHH")
#: Offsets kept for an item: one that was shown more often without effect is hardly explored any more.
_MAX_OFFSETS = 256


@dataclass(slots=True)  # not frozen, which takes several times as long to make
class StoredHistory:
    """A history as it is stored, not to be changed; `events` parses it, once."""

    payload: bytes
    lineage: Lineage = _LEGACY
    _parsed: list[RecentEvent] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def last_offset(self) -> int:
        """Offset of the newest event."""
        return last_offset(self.payload)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return len(self.payload)

    def events(self) -> Sequence[RecentEvent]:
        """Return the events in the order of their arrival."""
        if not self._parsed:
            self._parsed.extend(_parse(self.payload))
        return self._parsed

    def up_to(self, position: Position) -> StoredHistory | None:
        """Return the history as it was at a position of the log, as far as it is kept; None for no events."""
        last = self.lineage.shared(position)
        if self.last_offset <= last:
            return self
        events = [event for event in self.events() if event.offset <= last]
        return StoredHistory(encode(events), self.lineage) if events else None


def _parse(payload: bytes) -> Iterator[RecentEvent]:
    unpack, head, position = _EVENT.unpack_from, _EVENT.size, _HEAD.size
    while position < len(payload):
        offset, millis, fingerprint, value, type_bytes, item_bytes = unpack(payload, position)
        text = position + head
        item = text + type_bytes
        position = item + item_bytes
        yield RecentEvent(
            offset, millis, payload[text:item].decode(), payload[item:position].decode(), fingerprint, value
        )


def last_offset(payload: bytes) -> int:
    """Return the offset of the newest event of a stored history."""
    (offset,) = _HEAD.unpack_from(payload)
    return int(offset)


def last_shown(payload: bytes) -> int:
    """Return the newest offset at which an item was shown."""
    (offset,) = _HEAD.unpack_from(payload, len(payload) - _HEAD.size)
    return int(offset)


def encode(events: Sequence[RecentEvent]) -> bytes:
    """Return the stored form of one or more events in the order of their arrival."""
    parts = [_HEAD.pack(events[-1].offset)]
    for event in events:
        event_type, item_id = event.event_type.encode(), event.item_id.encode()
        lengths = len(event_type), len(item_id)
        parts.append(_EVENT.pack(event.offset, event.millis, event.fingerprint, event.value, *lengths))
        parts += (event_type, item_id)
    return b"".join(parts)


def with_offset(payload: bytes, offset: int) -> bytes:
    """Append an offset to the stored offsets of an item, which are not larger."""
    return payload[-(_MAX_OFFSETS - 1) * _HEAD.size :] + _HEAD.pack(offset)


def count_after(payload: bytes, offset: int) -> int:
    """Return how many of the offsets are larger than the given one."""
    return len(offsets_after(payload, offset)) // _HEAD.size


def offsets_after(payload: bytes, offset: int) -> bytes:
    """Return the stored form of those offsets that are larger than the given one."""
    offsets = np.frombuffer(payload, "<i8")  # ascending, and read for thousands of items
    return payload[_HEAD.size * int(offsets.searchsorted(offset, side="right")) :]


def encode_lineage(lineage: Lineage) -> bytes:
    """Return the stored form of the epochs of a log."""
    return b"".join(_EPOCH.pack(item.epoch, item.first_offset) for item in lineage)


def lineage_of(payload: bytes | None) -> Lineage:
    """Parse the epochs of a log; None is the value in a store from before there were epochs."""
    return _LEGACY if payload is None else Lineage(Epoch(*item) for item in _EPOCH.iter_unpack(payload))
