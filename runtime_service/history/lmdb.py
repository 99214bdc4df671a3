"""Histories in LMDB: memory-mapped, so that a look-up costs microseconds and all workers share the pages.

The writer does not sync: see `crash_marker` for what that means after a crash of the machine. The next offset is stored
with the histories, so a store that is created anew gets everything again.
"""

from __future__ import annotations

import errno
import shutil
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
from runtime_service.history import INTERACTIONS, BucketCounts, HistoryEvent, Progress, Put, PutsMark
from runtime_service.history.changes import Changes
from runtime_service.history.counts import CountStore
from runtime_service.history.crash_marker import is_clean, mark_closed, mark_open
from runtime_service.history.eviction import ClockEviction
from runtime_service.history.impression_log import ImpressionLog, ImpressionReader, remove_stale_impressions
from runtime_service.history.keys import KEY_BYTES, LISTED, LOGGED, PUTS, USED, digest, group_digest, key
from runtime_service.history.puts import PutStore
from runtime_service.history.records import (
    StoredHistory,
    count_after,
    encode,
    encode_lineage,
    last_offset,
    last_shown,
    lineage_of,
    with_offset,
)
from runtime_service.history.removal import Removal

__all__ = ["MAX_PUTS", "MAX_USERS", "LmdbHistoryReader", "LmdbHistoryWriter", "prepare_history"]

_FORMAT: Final = b"4"
_FORMAT_KEY, _OFFSET_KEY, _LINEAGE_KEY, _PUTS_KEY = b"format", b"next_offset", b"lineage", b"puts"
_HISTORIES, _SHOWN, _COUNTERS, _BUCKETS = b"histories", b"shown", b"counters", b"buckets"
_PUTS, _PUT_ORDER = b"puts", b"put_order"
_STATE: Final = b"state"
_NAMES: Final = (_HISTORIES, _SHOWN, _COUNTERS, _BUCKETS, _PUTS, _PUT_ORDER, _STATE)
#: Folder of the impression logs.
_IMPRESSIONS: Final = "answers"
_MAX_READERS: Final = 1024
#: Defaults of how many users and sessions, puts, shown items, and counters are kept on a host.
MAX_USERS: Final = 2_000_000
MAX_PUTS: Final = 1_000_000
_MAX_SHOWN: Final = 1_000_000
_MAX_COUNTERS: Final = 5_000_000
_REMOVAL_STEP: Final = 2000
#: Generation and offset.
_PUTS_MARK: Final = struct.Struct("<qq")
_Result = TypeVar("_Result")
#: What the disk answers, with what the tail gets, which tries again; LMDB says EIO for what was written in part.
_DISK_ERRORS: Final[Mapping[int, type[Unavailable]]] = MappingProxyType(
    {errno.ENOSPC: StorageFull, errno.EDQUOT: StorageFull, errno.EFBIG: StorageFull, errno.EIO: Unavailable}
)
_log = get_logger(__name__)


def prepare_history(folder: Path, *, map_bytes: int, workers: Collection[str] = ()) -> None:
    """Create the store, so that readers can open it; a damaged one is created anew, since the log has everything.

    Called once, before any other process of this host opens the store.

    Args:
        folder: The store's folder.
        map_bytes: Initial size of the map; doubled whenever it is full.
        workers: Names of the readers that are started: impressions of others go when they are old.
    """
    remove_stale_impressions(folder / _IMPRESSIONS, workers=workers, now=time.time())
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
            str(folder), readonly=True, create=False, max_dbs=len(_NAMES), max_readers=_MAX_READERS
        )
        # Slots of readers that were killed would keep old pages alive.
        self._environment.reader_check()
        self._histories, self._shown, counters, buckets, puts, order, self._state = (
            self._environment.open_db(name, create=False) for name in _NAMES
        )
        self._counts = CountStore(counters, buckets)
        self._puts = PutStore(puts, order)
        # LMDB's map must not change its size while a transaction of this process is open: each holds its thread's lock.
        self._read_lock, self._counts_lock, self._puts_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self._cached_lineage: tuple[bytes | None, Lineage] = (None, lineage_of(None))
        self._cached_progress: tuple[tuple[bytes | None, ...], Progress] | None = None

    def find(self, dataset_group_arn: str, user_id: str, *, dataset_type: str = INTERACTIONS) -> StoredHistory | None:
        """Return the recent events of a user, or of the session that has this id; None for none."""
        group, name = group_digest(dataset_group_arn), id_digest(user_id)
        kind_of_users, kind_of_sessions = USED[dataset_type]
        user, session = group + kind_of_users + name, group + kind_of_sessions + name

        def read(transaction: Any) -> StoredHistory | None:
            payload = transaction.get(user) or transaction.get(session)
            return None if payload is None else StoredHistory(payload, self._lineage(transaction))

        return self._read(read, self._read_lock)

    def shown(self, dataset_group_arn: str, item_ids: Sequence[str], *, after: Position) -> list[int]:
        """Return how often each item was shown; see `HistoryReader`."""
        group = digest(dataset_group_arn)
        keys = [(key(group, LISTED, item_id), key(group, LOGGED, item_id)) for item_id in item_ids]

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
        group = group_digest(dataset_group_arn)
        self._impressions.append(recommendation_id, [key(group, LOGGED, item_id) for item_id in item_ids])

    def progress(self) -> Progress:
        """Return how far the log has been read; see `HistoryReader`."""
        return self._read(self._progress, self._read_lock)

    def _progress(self, transaction: Any) -> Progress:
        """Read how far the log has been read: the same object as before where that is the same."""
        get, state = transaction.get, self._state
        stored = get(_OFFSET_KEY, b"1", state), get(_LINEAGE_KEY, None, state), get(_PUTS_KEY, None, state)
        cached = self._cached_progress
        if cached is None or stored != cached[0]:
            progress = Progress(self._lineage(transaction), int(stored[0]) - 1, _puts_mark(transaction, state))
            cached = self._cached_progress = stored, progress
        return cached[1]

    def puts_mark(self) -> PutsMark:
        """Return what changes with each put; see `HistoryReader`."""
        return self._read(lambda transaction: _puts_mark(transaction, self._state), self._read_lock)

    def puts(self, dataset_group_arn: str, dataset_type: str, *, after: int, limit: int) -> list[Put]:
        """Return the next puts after an offset; see `HistoryReader`."""
        return self._read(
            lambda transaction: self._puts.after(
                transaction, dataset_group_arn, dataset_type, offset=after, limit=limit
            ),
            self._puts_lock,
        )

    def find_put(self, dataset_group_arn: str, dataset_type: str, entity_id: str) -> Put | None:
        """Return the last put of an id; see `HistoryReader`."""
        return self._read(
            lambda transaction: self._puts.find(transaction, dataset_group_arn, dataset_type, entity_id),
            self._read_lock,
        )

    def deletions(self, dataset_group_arn: str) -> list[tuple[int, str]]:
        """Return the deletions of users that no snapshot may contain yet; see `HistoryReader`."""
        return self._read(
            lambda transaction: self._puts.deletions(transaction, digest(dataset_group_arn)), self._puts_lock
        )

    def lineage(self) -> Lineage:
        """Return the epochs of the log that all of this is from."""
        return self._read(self._lineage, self._read_lock)

    def counts(
        self, dataset_group_arn: str, *, first_bucket: int, read_positions: Mapping[int, Position]
    ) -> list[BucketCounts]:
        """Return how often all users together used each item, by quarter of an hour; see `HistoryReader`."""
        group = digest(dataset_group_arn)
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
        with self._counts_lock, self._puts_lock, self._read_lock:
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
                with self._counts_lock, self._puts_lock, self._read_lock:
                    self._environment.set_mapsize(0)  # adopts the size that the writer gave the map


class LmdbHistoryWriter:
    """The `HistoryWriter` of a host.

    Args:
        folder: The folder of a store that was prepared.
        max_events: Newest events kept for each user or session.
        max_users: Users and sessions that are kept; beyond, those with the oldest last event are evicted.
        max_puts: Items, users and actions whose puts are kept; beyond, those that were put longest ago are evicted.
        max_shown: Items whose impressions are kept; beyond, those that were shown longest ago are evicted.
        max_counters: Counters that are kept; beyond, those of the oldest quarters of an hour are evicted.
        removal_step: Keys that one transaction handles when a dataset is removed.
        now: Returns the present time in seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_events: int,
        max_users: int = MAX_USERS,
        max_puts: int = MAX_PUTS,
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
        self._put_databases = [self._environment.open_db(name) for name in (_PUTS, _PUT_ORDER)]
        self._puts = PutStore(*self._put_databases, max_puts=max_puts)
        self._removal = Removal(
            self._environment, self._histories, self._shown, self._counts, self._puts, removal_step, self._write
        )
        self._max_events = max_events
        self._impressions = ImpressionReader(folder / _IMPRESSIONS, key_bytes=KEY_BYTES)
        self._now = now

    def next_offset(self) -> int:
        """Return the offset to continue from; 1 at first."""
        with self._environment.begin() as transaction:
            return int(transaction.get(_OFFSET_KEY, b"1", db=self._state))

    def lineage(self) -> Lineage:
        """Return the epochs of the log that the stored events are from."""
        with self._environment.begin() as transaction:
            return lineage_of(transaction.get(_LINEAGE_KEY, db=self._state))

    def append(
        self,
        events: Sequence[HistoryEvent],
        *,
        next_offset: int,
        puts: Sequence[Put] = (),
        lineage: Lineage | None = None,
    ) -> None:
        """Store events, puts and the next offset in one transaction; see `HistoryWriter`."""
        shown = self._take_impressions(events)

        def write(transaction: Any) -> None:
            stored_offset = int(transaction.get(_OFFSET_KEY, b"1", db=self._state))
            changes = Changes(lambda key: transaction.get(key, db=self._histories), self._max_events)
            for event in events:
                if event.offset >= stored_offset:
                    changes.add(event)
            for shown_key, offset in shown:
                offsets = with_offset(transaction.get(shown_key, b"", db=self._shown), offset)
                transaction.put(shown_key, offsets, db=self._shown)
            for history_key, history in changes.histories.items():
                if history:
                    transaction.put(history_key, encode(history), db=self._histories)
                else:
                    transaction.delete(history_key, db=self._histories)
            self._counts.add(transaction, changes.new_events, now=self._now())
            for eviction in self._evictions:
                eviction.evict(transaction)
            self._add_puts(transaction, [put for put in puts if put.offset >= stored_offset])
            transaction.put(_OFFSET_KEY, str(max(next_offset, stored_offset)).encode(), db=self._state)
            if lineage is not None:
                transaction.put(_LINEAGE_KEY, encode_lineage(lineage), db=self._state)

        self._write(write)

    def forget(self, dataset_group_arn: str, dataset_type: str, *, up_to: int) -> Iterator[None]:
        """Remove what a dataset had up to an offset, in steps; see `HistoryWriter`."""
        yield from self._removal.of_dataset(dataset_group_arn, dataset_type, up_to=up_to)
        if dataset_type in PUTS:
            self._write(partial(self._mark_puts, is_new_generation=True))

    def prune_puts(self, dataset_group_arn: str, dataset_type: str, *, up_to: int) -> Iterator[None]:
        """Remove what was put up to an offset, in steps; see `HistoryWriter`."""
        return self._removal.of_puts(dataset_group_arn, dataset_type, up_to=up_to)

    def forget_users(self, dataset_group_arn: str, deleted: DeletedUsers) -> Iterator[None]:
        """Remove what deleted users did, and what was put of them, in steps; see `HistoryWriter`."""
        yield from self._removal.of_users(dataset_group_arn, deleted)
        self._write(partial(self._mark_puts, is_new_generation=True))

    def _add_puts(self, transaction: Any, puts: Sequence[Put]) -> None:
        if puts:
            if evicted := self._puts.add(transaction, puts):
                _log.warning("puts_evicted", puts=evicted, cause="more were put than are kept between two snapshots")
            self._mark_puts(transaction, offset=puts[-1].offset)

    def _mark_puts(self, transaction: Any, *, offset: int | None = None, is_new_generation: bool = False) -> None:
        before = _puts_mark(transaction, self._state)
        mark = before.generation + is_new_generation, before.offset if offset is None else offset
        transaction.put(_PUTS_KEY, _PUTS_MARK.pack(*mark), db=self._state)

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
        for database in (self._histories, self._shown, *self._count_databases, *self._put_databases):
            transaction.drop(database, delete=False)
        self._mark_puts(transaction, is_new_generation=True)
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
        new = [event for event in events if event.offset >= next_offset and event.is_of_item]
        logged = self._impressions.take({event.recommendation_id for event in new if not event.impression} - {""})
        shown = []
        for event in new:
            group = digest(event.dataset_group_arn)
            keys = [key(group, LISTED, item_id) for item_id in event.impression]
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


def _prepare(folder: Path, map_bytes: int) -> None:
    for path in private_folder(folder).glob("*.mdb"):
        private_file(path)
    environment = _open(folder, map_bytes=map_bytes)
    try:
        databases = [environment.open_db(name) for name in _NAMES]
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
        str(folder), map_size=map_bytes, max_dbs=len(_NAMES), max_readers=_MAX_READERS, sync=sync, mode=FILE_MODE
    )


def _puts_mark(transaction: Any, state: Any) -> PutsMark:
    payload = transaction.get(_PUTS_KEY, db=state)
    return PutsMark(0, 0) if payload is None else PutsMark(*_PUTS_MARK.unpack(payload))
