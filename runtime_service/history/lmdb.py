"""Histories in LMDB: memory-mapped, so that a look-up costs microseconds and all workers share the pages.

The writer does not sync: see `crash_marker` for what that means after a crash of the machine. The next offset is stored
with the histories, so a store that is created anew gets everything again.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import lmdb

from common.deletions import DeletedUsers, id_digest
from common.errors import StorageFull, Unavailable
from common.logs import get_logger
from common.positions import Lineage, Position
from common.private_files import FILE_MODE, private_file, private_folder
from inference.recent_events import RecentEvent
from runtime_service.history import BucketCounts, HistoryEvent
from runtime_service.history.counts import CountStore
from runtime_service.history.crash_marker import is_clean, mark_closed, mark_open
from runtime_service.history.eviction import ClockEviction
from runtime_service.history.impression_log import ImpressionLog, ImpressionReader
from runtime_service.history.records import (
    StoredHistory,
    count_after,
    encode,
    encode_lineage,
    last_offset,
    last_shown,
    lineage_of,
    offsets_after,
    with_offset,
)

__all__ = ["MAX_USERS", "LmdbHistoryReader", "LmdbHistoryWriter", "prepare_history"]

_FORMAT: Final = b"3"
_FORMAT_KEY, _OFFSET_KEY, _LINEAGE_KEY = b"format", b"next_offset", b"lineage"
_HISTORIES, _SHOWN, _COUNTERS, _BUCKETS = b"histories", b"shown", b"counters", b"buckets"
_STATE: Final = b"state"
_DATABASES: Final = 5
#: Folder of the impression logs.
_IMPRESSIONS: Final = "answers"
#: A key is the digest of a group, a letter, and the digest of an id.
_ID_BYTES: Final = 16
_KEY_BYTES: Final = 8 + 1 + _ID_BYTES
_MAX_READERS: Final = 1024
#: Defaults of how many users and sessions, shown items, and counters are kept on a host.
MAX_USERS: Final = 2_000_000
_MAX_SHOWN: Final = 1_000_000
_MAX_COUNTERS: Final = 5_000_000
_REMOVAL_STEP: Final = 2000
_Result = TypeVar("_Result")
#: What the disk answers, with what the tail gets, which tries again; LMDB says EIO for what was written in part.
_DISK_ERRORS: Final[Mapping[int, type[Unavailable]]] = MappingProxyType(
    {errno.ENOSPC: StorageFull, errno.EDQUOT: StorageFull, errno.EFBIG: StorageFull, errno.EIO: Unavailable}
)
_log = get_logger(__name__)


def prepare_history(folder: Path, *, map_bytes: int) -> None:
    """Create the store, so that readers can open it; a damaged one is created anew, since the log has everything.

    Called once, before any other process of this host opens the store.

    Args:
        folder: The store's folder.
        map_bytes: Initial size of the map; doubled whenever it is full.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()) and not is_clean(folder):
            _log.warning("history_rebuilt", folder=str(folder), cause="the machine stopped while it was written")
            shutil.rmtree(folder)
        _prepare(folder, map_bytes)
    except (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError, lmdb.PageNotFoundError) as error:
        _log.warning("history_rebuilt", folder=str(folder), cause=str(error))
        shutil.rmtree(folder)
        _prepare(folder, map_bytes)


class LmdbHistoryReader:
    """A `HistoryReader` of one worker. One thread may read counts while another does all else.

    Args:
        folder: The folder of a store that was prepared.
        name: This reader's name for its impression log; the same after a restart.
    """

    def __init__(self, folder: Path, *, name: str = "reader") -> None:
        self._impressions = ImpressionLog(folder / _IMPRESSIONS, name)
        self._environment = lmdb.open(
            str(folder), readonly=True, create=False, max_dbs=_DATABASES, max_readers=_MAX_READERS
        )
        # Slots of readers that were killed would keep old pages alive.
        self._environment.reader_check()
        self._histories, self._shown, counters, buckets, self._state = (
            self._environment.open_db(name, create=False) for name in (_HISTORIES, _SHOWN, _COUNTERS, _BUCKETS, _STATE)
        )
        self._counts = CountStore(counters, buckets)
        # LMDB's map must not change its size while a transaction of this process is open: each holds its thread's lock.
        self._read_lock, self._counts_lock = threading.Lock(), threading.Lock()
        self._cached_lineage: tuple[bytes | None, Lineage] = (None, lineage_of(None))

    def find(self, dataset_group_arn: str, user_id: str) -> StoredHistory | None:
        """Return the recent events of a user, or of the session that has this id; None for none."""
        group = _digest(dataset_group_arn, size=8)
        user, session = _key(group, b"u", user_id), _key(group, b"s", user_id)

        def read(transaction: Any) -> StoredHistory | None:
            payload = transaction.get(user) or transaction.get(session)
            return None if payload is None else StoredHistory(payload, self._lineage(transaction))

        return self._read(read, self._read_lock)

    def shown(self, dataset_group_arn: str, item_ids: Sequence[str], *, after: Position) -> list[int]:
        """Return how often each item was shown; see `HistoryReader`."""
        group = _digest(dataset_group_arn, size=8)
        keys = [(_key(group, b"i", item_id), _key(group, b"r", item_id)) for item_id in item_ids]

        def read(transaction: Any) -> list[int]:
            contained = self._lineage(transaction).shared(after)
            return [
                count_after(transaction.get(listed, b"", db=self._shown), contained)
                + count_after(transaction.get(logged, b"", db=self._shown), -1)
                for listed, logged in keys
            ]

        return self._read(read, self._read_lock)

    def log_impressions(self, recommendation_id: str, dataset_group_arn: str, item_ids: Sequence[str]) -> None:
        """Store which items a recommendation shows, for events that will refer to it."""
        group = _digest(dataset_group_arn, size=8)
        self._impressions.append(recommendation_id, [_key(group, b"r", item_id) for item_id in item_ids])

    def counts(
        self, dataset_group_arn: str, *, first_bucket: int, read_positions: Mapping[int, Position]
    ) -> list[BucketCounts]:
        """Return how often all users together used each item, by quarter of an hour; see `HistoryReader`."""
        group = _digest(dataset_group_arn, size=8)
        return self._read(
            lambda transaction: list(
                self._counts.read(
                    transaction,
                    group,
                    first=first_bucket,
                    read_positions=read_positions,
                    lineage=self._lineage(transaction),
                )
            ),
            self._counts_lock,
        )

    def close(self) -> None:
        """Close the files, once nothing is read from them."""
        self._impressions.close()
        with self._counts_lock, self._read_lock:
            self._environment.close()

    def _lineage(self, transaction: Any) -> Lineage:
        payload = transaction.get(_LINEAGE_KEY, db=self._state)
        cached = self._cached_lineage
        if payload != cached[0]:
            cached = self._cached_lineage = (payload, lineage_of(payload))
        return cached[1]

    def _read(self, read: Callable[[Any], _Result], lock: threading.Lock) -> _Result:
        while True:
            try:
                with lock, self._environment.begin(self._histories) as transaction:
                    return read(transaction)
            except lmdb.MapResizedError:
                with self._counts_lock, self._read_lock:
                    self._environment.set_mapsize(0)  # adopts the size that the writer gave the map


class LmdbHistoryWriter:
    """The `HistoryWriter` of a host.

    Args:
        folder: The folder of a store that was prepared.
        max_events: Newest events kept for each user or session.
        max_users: Users and sessions that are kept; beyond, those with the oldest last event are evicted.
        max_shown: Items whose impressions are kept; beyond, those that were shown longest ago are evicted.
        max_counters: Counters that are kept; beyond, those of the oldest quarters of an hour are evicted.
        removal_step: Keys that one transaction handles when a group is removed.
        now: Returns the present time in seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_events: int,
        max_users: int = MAX_USERS,
        max_shown: int = _MAX_SHOWN,
        max_counters: int = _MAX_COUNTERS,
        removal_step: int = _REMOVAL_STEP,
        now: Callable[[], float] = time.time,
    ) -> None:
        mark_open(folder)
        self._folder = folder
        self._environment = _open(folder, sync=False)
        self._environment.reader_check()  # as in the reader
        self._histories = self._environment.open_db(_HISTORIES)
        self._shown = self._environment.open_db(_SHOWN)
        self._state = self._environment.open_db(_STATE)
        self._count_databases = [self._environment.open_db(name) for name in (_COUNTERS, _BUCKETS)]
        self._counts = CountStore(*self._count_databases, max_counters=max_counters)
        self._evictions = (
            ClockEviction(self._histories, max_entries=max_users, last_used=last_offset),
            ClockEviction(self._shown, max_entries=max_shown, last_used=last_shown),
        )
        self._max_events = max_events
        self._removal_step = removal_step
        self._impressions = ImpressionReader(folder / _IMPRESSIONS, key_bytes=_KEY_BYTES)
        self._now = now

    def next_offset(self) -> int:
        """Return the offset to continue from; 1 at first."""
        with self._environment.begin() as transaction:
            return int(transaction.get(_OFFSET_KEY, b"1", db=self._state))

    def lineage(self) -> Lineage:
        """Return the epochs of the log that the stored events are from."""
        with self._environment.begin() as transaction:
            return lineage_of(transaction.get(_LINEAGE_KEY, db=self._state))

    def append(self, events: Sequence[HistoryEvent], *, next_offset: int, lineage: Lineage | None = None) -> None:
        """Store events and the next offset in one transaction; see `HistoryWriter`."""
        shown = self._take_impressions(events)

        def write(transaction: Any) -> None:
            stored_offset = int(transaction.get(_OFFSET_KEY, b"1", db=self._state))
            changes = _Changes(lambda key: transaction.get(key, db=self._histories), self._max_events)
            for event in events:
                if event.offset >= stored_offset:
                    changes.add(event)
            for key, offset in shown:
                offsets = with_offset(transaction.get(key, b"", db=self._shown), offset)
                transaction.put(key, offsets, db=self._shown)
            for key, history in changes.histories.items():
                if history:
                    transaction.put(key, encode(history), db=self._histories)
                else:
                    transaction.delete(key, db=self._histories)
            self._counts.add(transaction, changes.new_events, now=self._now())
            for eviction in self._evictions:
                eviction.evict(transaction)
            transaction.put(_OFFSET_KEY, str(max(next_offset, stored_offset)).encode(), db=self._state)
            if lineage is not None:
                transaction.put(_LINEAGE_KEY, encode_lineage(lineage), db=self._state)

        self._write(write)

    def forget(self, dataset_group_arn: str, *, up_to: int) -> Iterator[None]:
        """Remove a group's events up to an offset, in steps; see `HistoryWriter`."""
        group = _digest(dataset_group_arn, size=8)
        for database, cut in ((self._histories, _events_after), (self._shown, offsets_after)):
            start: bytes | None = group
            while start is not None:
                start = self._remove_some(database, group, start, partial(cut, offset=up_to))
                yield
        self._write(lambda transaction: self._counts.remove(transaction, group, up_to=up_to))

    def forget_users(self, dataset_group_arn: str, deleted: DeletedUsers) -> Iterator[None]:
        """Remove what deleted users did, in steps; see `HistoryWriter`."""
        group = _digest(dataset_group_arn, size=8)
        # A user is looked up as a session too, so one whose id is a session's is forgotten as both.
        for kind, digests in ((b"u", (deleted.users,)), (b"s", (deleted.users, deleted.sessions))):
            start: bytes | None = group + kind
            while start is not None:
                keys, start = self._next_keys(group + kind, start)
                held = [digest_set.holds(key[-_ID_BYTES:] for key in keys) for digest_set in digests]
                theirs = [key for place, key in enumerate(keys) if any(chosen[place] for chosen in held)]
                self._write(partial(self._cut_histories, theirs, deleted.entry.up_to_offset))
                yield

    def _next_keys(self, prefix: bytes, start: bytes) -> tuple[list[bytes], bytes | None]:
        """Return the next keys with a prefix, and where to continue; None at the end."""
        keys: list[bytes] = []
        with self._environment.begin() as transaction, transaction.cursor(self._histories) as cursor:
            has_entry = cursor.set_range(start)
            while has_entry and cursor.key().startswith(prefix):
                if len(keys) == self._removal_step:
                    return keys, cursor.key()
                keys.append(cursor.key())
                has_entry = cursor.next()
        return keys, None

    def _cut_histories(self, keys: Sequence[bytes], up_to: int, transaction: Any) -> None:
        for key in keys:
            if rest := _events_after(transaction.get(key, b"", db=self._histories), up_to):
                transaction.put(key, rest, db=self._histories)
            else:
                transaction.delete(key, db=self._histories)

    def _remove_some(self, database: Any, group: bytes, start: bytes, cut: Callable[[bytes], bytes]) -> bytes | None:
        """Apply `cut` to the values of a group's next keys; return the key to continue from, None at the end."""
        next_key: bytes | None = None

        def write(transaction: Any) -> None:
            nonlocal next_key
            next_key = None
            with transaction.cursor(database) as cursor:
                has_entry = cursor.set_range(start)
                for _ in range(self._removal_step):
                    if not has_entry or not cursor.key().startswith(group):
                        return
                    if rest := cut(cursor.value()):
                        transaction.put(cursor.key(), rest, db=database)
                        has_entry = cursor.next()
                    else:
                        has_entry = cursor.delete()
                next_key = cursor.key() if has_entry and cursor.key().startswith(group) else None

        self._write(write)
        return next_key

    def skip(self, next_offset: int) -> None:
        """Remove everything and continue from a later offset of the same log."""
        self._write(partial(self._drop, next_offset=next_offset))

    def clear(self) -> None:
        """Remove everything, and continue from offset 1."""

        def write(transaction: Any) -> None:
            self._drop(transaction, next_offset=1)
            transaction.delete(_LINEAGE_KEY, db=self._state)

        self._write(write)

    def _drop(self, transaction: Any, *, next_offset: int) -> None:
        for database in (self._histories, self._shown, *self._count_databases):
            transaction.drop(database, delete=False)
        transaction.put(_OFFSET_KEY, str(next_offset).encode(), db=self._state)

    def close(self) -> None:
        """Sync and close the files."""
        self._environment.sync(True)
        self._environment.close()
        mark_closed(self._folder)

    def _take_impressions(self, events: Sequence[HistoryEvent]) -> list[tuple[bytes, int]]:
        """Return the keys of the items that events showed, each with the event's offset.

        Impressions of recommendations are read only once, so this is called before the transaction, which may be run
        again.
        """
        next_offset = self.next_offset()
        new = [event for event in events if event.offset >= next_offset]
        logged = self._impressions.take({event.recommendation_id for event in new if not event.impression} - {""})
        shown = []
        for event in new:
            group = _digest(event.dataset_group_arn, size=8)
            keys = [_key(group, b"i", item_id) for item_id in event.impression]
            if not keys:
                keys = logged.pop(event.recommendation_id, [])
            shown += [(key, event.offset) for key in keys]
        return shown

    def _write(self, write: Callable[[Any], object]) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    write(transaction)
                    return
            except lmdb.MapFullError:
                map_bytes = 2 * self._environment.info()["map_size"]
                _log.info("history_map_grown", bytes=map_bytes)
                self._environment.set_mapsize(map_bytes)
            except lmdb.Error as error:
                if error.code not in _DISK_ERRORS:
                    raise
                raise _DISK_ERRORS[error.code](f"history: cannot be written: {error}") from error


class _Changes:
    """The histories that one batch of events changes, each read once and written once."""

    def __init__(self, read: Callable[[bytes], bytes | None], max_events: int) -> None:
        self._read = read
        self._max_events = max_events
        self.histories: dict[bytes, list[RecentEvent]] = {}
        self.new_events: list[tuple[bytes, HistoryEvent]] = []

    def add(self, event: HistoryEvent) -> None:
        group = _digest(event.dataset_group_arn, size=8)
        session = _key(group, b"s", event.session_id)
        if not event.user_id:
            key = session
        else:
            key = _key(group, b"u", event.user_id)
            if event.session_id:
                self._move(session, key, event.offset)
        if event.item_id and (event.user_id or event.session_id):
            fingerprint = int.from_bytes(_digest(event.event_id or str(event.offset), size=8), "little")
            recent_event = RecentEvent(
                event.offset, event.millis, event.event_type, event.item_id, fingerprint, event.value
            )
            if self._append(key, recent_event):
                self.new_events.append((group, event))

    def _move(self, session: bytes, user: bytes, offset: int) -> None:
        """Move a session's events to its user; they get the offset of the event that tied the two."""
        for event in self._history(session):
            self._append(user, replace(event, offset=offset))
        self.histories[session] = []

    def _append(self, key: bytes, event: RecentEvent) -> bool:
        """Add an event unless it is in the history; return whether it was new."""
        history = self._history(key)
        if any(earlier.fingerprint == event.fingerprint for earlier in history):
            return False
        history.append(event)
        del history[: -self._max_events]
        return True

    def _history(self, key: bytes) -> list[RecentEvent]:
        history = self.histories.get(key)
        if history is None:
            payload = self._read(key)
            history = self.histories[key] = [] if payload is None else StoredHistory(payload).events()
        return history


def _events_after(payload: bytes, offset: int) -> bytes:
    """Return the stored form of a history's events after an offset; empty for none."""
    events = [event for event in StoredHistory(payload).events() if event.offset > offset]
    return encode(events) if events else b""


def _prepare(folder: Path, map_bytes: int) -> None:
    for path in private_folder(folder).glob("*.mdb"):
        private_file(path)
    environment = _open(folder, map_bytes=map_bytes)
    try:
        databases = [environment.open_db(name) for name in (_HISTORIES, _SHOWN, _COUNTERS, _BUCKETS, _STATE)]
        state = databases[-1]
        with environment.begin(write=True) as transaction:
            if transaction.get(_FORMAT_KEY, db=state) != _FORMAT:
                for database in databases:
                    transaction.drop(database, delete=False)
                transaction.put(_FORMAT_KEY, _FORMAT, db=state)
    finally:
        environment.close()
    if not is_clean(folder):
        mark_closed(folder)


def _open(folder: Path, *, map_bytes: int = 0, sync: bool = True) -> Any:
    # With size 0 LMDB takes that of the file; a map that is smaller than the file's data is enlarged.
    return lmdb.open(
        str(folder), map_size=map_bytes, max_dbs=_DATABASES, max_readers=_MAX_READERS, sync=sync, mode=FILE_MODE
    )


def _key(group: bytes, kind: bytes, identifier: str) -> bytes:
    return group + kind + id_digest(identifier)


def _digest(text: str, *, size: int) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest()
