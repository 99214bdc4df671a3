"""Histories in LMDB: memory-mapped, so that a look-up costs microseconds and all workers share the pages.

The writer does not sync: see `trust` for what that means after a crash of the machine. The place in the log is written
with the histories, so a store that is made anew gets everything again.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import lmdb

from common.logs import get_logger
from common.positions import Lineage, Position
from common.private_files import FILE_MODE, private_file, private_folder
from inference.recent_events import RecentEvent
from runtime_service.history import BucketCounts, LoggedEvent
from runtime_service.history.bounds import Bound
from runtime_service.history.counts import CountStore
from runtime_service.history.crash_marker import is_clean, mark_closed, mark_open
from runtime_service.history.impression_log import Answers, ImpressionLog
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
_ANSWERS: Final = "answers"
#: Digests of a group and of an id, and a letter between them.
_KEY_BYTES: Final = 8 + 1 + 16
_MAX_READERS: Final = 1024
#: Users and sessions, items that were shown, and counters, that are kept on a host unless told otherwise.
MAX_USERS: Final = 2_000_000
_MAX_SHOWN: Final = 1_000_000
_MAX_COUNTERS: Final = 5_000_000
#: Keys that are looked at in one transaction when a group is forgotten.
_FORGET_STEP: Final = 2000
_Found = TypeVar("_Found")
_log = get_logger(__name__)


def prepare_history(folder: Path, *, map_bytes: int) -> None:
    """Make the store, so that readers can open it; one that is damaged is made anew, as the log has it all.

    Called once, before any other process of this host opens the store.

    Args:
        folder: Of the store.
        map_bytes: Size of the map to begin with; doubled whenever it is full.
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
    """Looks histories up; see `HistoryReader`. One thread may read counts beside the one that does all else.

    Args:
        folder: Of a store that was prepared.
        name: Of this reader, under which it notes answers; the same when it starts again.
    """

    def __init__(self, folder: Path, *, name: str = "reader") -> None:
        self._answers = ImpressionLog(folder / _ANSWERS, name)
        self._environment = lmdb.open(
            str(folder), readonly=True, create=False, max_dbs=_DATABASES, max_readers=_MAX_READERS
        )
        # Places of readers that were killed would keep old pages alive.
        self._environment.reader_check()
        self._histories, self._shown, counters, buckets, self._state = (
            self._environment.open_db(name, create=False) for name in (_HISTORIES, _SHOWN, _COUNTERS, _BUCKETS, _STATE)
        )
        self._counts = CountStore(counters, buckets)
        # LMDB's map must not change its size while a transaction of this process is open: each holds its thread's lock.
        self._reading, self._counting = threading.Lock(), threading.Lock()
        self._known_lineage: tuple[bytes | None, Lineage] = (None, lineage_of(None))

    def find(self, dataset_group_arn: str, user_id: str) -> StoredHistory | None:
        """Return the recent events of a user, or of the session that has this id; None for none."""
        group = _digest(dataset_group_arn, size=8)
        user, session = _key(group, b"u", user_id), _key(group, b"s", user_id)

        def look(transaction: Any) -> StoredHistory | None:
            payload = transaction.get(user) or transaction.get(session)
            return None if payload is None else StoredHistory(payload, self._lineage(transaction))

        return self._read(look, self._reading)

    def shown(self, dataset_group_arn: str, item_ids: Sequence[str], *, after: Position) -> list[int]:
        """Return how often each item was shown; many times are not told from more."""
        group = _digest(dataset_group_arn, size=8)
        keys = [(_key(group, b"i", item_id), _key(group, b"r", item_id)) for item_id in item_ids]

        def look(transaction: Any) -> list[int]:
            contained = self._lineage(transaction).shared(after)
            return [
                count_after(transaction.get(listed, b"", db=self._shown), contained)
                + count_after(transaction.get(answered, b"", db=self._shown), -1)
                for listed, answered in keys
            ]

        return self._read(look, self._reading)

    def note_answer(self, recommendation_id: str, dataset_group_arn: str, item_ids: Sequence[str]) -> None:
        """Keep which items an answer shows, for events that will refer to it."""
        group = _digest(dataset_group_arn, size=8)
        self._answers.note(recommendation_id, [_key(group, b"r", item_id) for item_id in item_ids])

    def counts(self, dataset_group_arn: str, *, first_bucket: int, known: Mapping[int, Position]) -> list[BucketCounts]:
        """Return how often everybody used each item, by quarter of an hour; see `HistoryReader`."""
        group = _digest(dataset_group_arn, size=8)
        return self._read(
            lambda transaction: list(
                self._counts.read(
                    transaction, group, first=first_bucket, known=known, lineage=self._lineage(transaction)
                )
            ),
            self._counting,
        )

    def close(self) -> None:
        """Give the files free, once nothing is read from them."""
        self._answers.close()
        with self._counting, self._reading:
            self._environment.close()

    def _lineage(self, transaction: Any) -> Lineage:
        payload = transaction.get(_LINEAGE_KEY, db=self._state)
        known = self._known_lineage
        if payload != known[0]:
            known = self._known_lineage = (payload, lineage_of(payload))
        return known[1]

    def _read(self, look: Callable[[Any], _Found], lock: threading.Lock) -> _Found:
        while True:
            try:
                with lock, self._environment.begin(self._histories) as transaction:
                    return look(transaction)
            except lmdb.MapResizedError:
                with self._counting, self._reading:
                    self._environment.set_mapsize(0)  # takes over the size that the writer gave the map


class LmdbHistoryWriter:
    """Follows the log; see `HistoryWriter`.

    Args:
        folder: Of a store that was prepared.
        max_events: Newest events kept for each user or session.
        max_users: Users and sessions that are kept; beyond, those go whose last event is oldest.
        max_shown: Items whose showings are kept; beyond, those go that were shown longest ago.
        max_counters: Counters that are kept; beyond, the oldest quarters of an hour go.
        now: Tells the present moment in seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_events: int,
        max_users: int = MAX_USERS,
        max_shown: int = _MAX_SHOWN,
        max_counters: int = _MAX_COUNTERS,
        now: Callable[[], float] = time.time,
    ) -> None:
        mark_open(folder)
        self._folder = folder
        self._environment = _open(folder, sync=False)
        self._environment.reader_check()  # as a reader does
        self._histories = self._environment.open_db(_HISTORIES)
        self._shown = self._environment.open_db(_SHOWN)
        self._state = self._environment.open_db(_STATE)
        self._count_databases = [self._environment.open_db(name) for name in (_COUNTERS, _BUCKETS)]
        self._counts = CountStore(*self._count_databases, most=max_counters)
        self._bounds = (
            Bound(self._histories, most=max_users, touched=last_offset),
            Bound(self._shown, most=max_shown, touched=last_shown),
        )
        self._max_events = max_events
        self._answers = Answers(folder / _ANSWERS, key_bytes=_KEY_BYTES)
        self._now = now

    def next_offset(self) -> int:
        """Return the place in the log to go on from; 1 at first."""
        with self._environment.begin() as transaction:
            return int(transaction.get(_OFFSET_KEY, b"1", db=self._state))

    def lineage(self) -> Lineage:
        """Return the epochs of the log that everything here is of."""
        with self._environment.begin() as transaction:
            return lineage_of(transaction.get(_LINEAGE_KEY, db=self._state))

    def append(self, events: Sequence[LoggedEvent], *, next_offset: int, lineage: Lineage | None = None) -> None:
        """Add events and move on, all or nothing."""
        shown = self._take_shown(events)

        def write(transaction: Any) -> None:
            known = int(transaction.get(_OFFSET_KEY, b"1", db=self._state))
            changes = _Changes(lambda key: transaction.get(key, db=self._histories), self._max_events)
            for event in events:
                if event.offset >= known:
                    changes.add(event)
            for key, offset in shown:
                offsets = with_offset(transaction.get(key, b"", db=self._shown), offset)
                transaction.put(key, offsets, db=self._shown)
            for key, history in changes.histories.items():
                if history:
                    transaction.put(key, encode(history), db=self._histories)
                else:
                    transaction.delete(key, db=self._histories)
            self._counts.add(transaction, changes.counted, now=self._now())
            for bound in self._bounds:
                bound.keep(transaction)
            transaction.put(_OFFSET_KEY, str(max(next_offset, known)).encode(), db=self._state)
            if lineage is not None:
                transaction.put(_LINEAGE_KEY, encode_lineage(lineage), db=self._state)

        self._write(write)

    def forget(self, dataset_group_arn: str, *, up_to: int) -> Iterator[None]:
        """Remove what is known of a group's events up to an offset, in steps."""
        group = _digest(dataset_group_arn, size=8)
        for database, shorten in ((self._histories, _events_after), (self._shown, offsets_after)):
            start: bytes | None = group
            while start is not None:
                start = self._forget_some(database, group, start, partial(shorten, offset=up_to))
                yield
        self._write(lambda transaction: self._counts.forget(transaction, group, up_to=up_to))

    def _forget_some(
        self, database: Any, group: bytes, start: bytes, shorten: Callable[[bytes], bytes]
    ) -> bytes | None:
        """Shorten what lies at the next keys of a group; return where to go on, None at the end."""
        following: bytes | None = None

        def write(transaction: Any) -> None:
            nonlocal following
            following = None
            with transaction.cursor(database) as cursor:
                found = cursor.set_range(start)
                for _ in range(_FORGET_STEP):
                    if not found or not cursor.key().startswith(group):
                        return
                    if left := shorten(cursor.value()):
                        transaction.put(cursor.key(), left, db=database)
                        found = cursor.next()
                    else:
                        found = cursor.delete()
                following = cursor.key() if found and cursor.key().startswith(group) else None

        self._write(write)
        return following

    def skip(self, next_offset: int) -> None:
        """Forget everything and move on to a later place of the same log."""
        self._write(partial(self._drop, next_offset=next_offset))

    def clear(self) -> None:
        """Forget everything, to begin with a log at 1."""

        def write(transaction: Any) -> None:
            self._drop(transaction, next_offset=1)
            transaction.delete(_LINEAGE_KEY, db=self._state)

        self._write(write)

    def _drop(self, transaction: Any, *, next_offset: int) -> None:
        for database in (self._histories, self._shown, *self._count_databases):
            transaction.drop(database, delete=False)
        transaction.put(_OFFSET_KEY, str(next_offset).encode(), db=self._state)

    def close(self) -> None:
        """Bring everything to the disk and give the files free."""
        self._environment.sync(True)
        self._environment.close()
        mark_closed(self._folder)

    def _take_shown(self, events: Sequence[LoggedEvent]) -> list[tuple[bytes, int]]:
        """Return the keys of what events showed, each with the event's offset; answers that they refer to are used up.

        Called before the transaction, which may be run again.
        """
        known = self.next_offset()
        new = [event for event in events if event.offset >= known]
        answers = self._answers.take({event.recommendation_id for event in new if not event.shown} - {""})
        found = []
        for event in new:
            group = _digest(event.dataset_group_arn, size=8)
            keys = [_key(group, b"i", item_id) for item_id in event.shown]
            if not keys:
                keys = answers.pop(event.recommendation_id, [])
            found += [(key, event.offset) for key in keys]
        return found

    def _write(self, change: Callable[[Any], object]) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    change(transaction)
                    return
            except lmdb.MapFullError:
                grown = 2 * self._environment.info()["map_size"]
                _log.info("history_map_grown", bytes=grown)
                self._environment.set_mapsize(grown)


class _Changes:
    """The histories that one batch of events changes, each read once and written once."""

    def __init__(self, read: Callable[[bytes], bytes | None], max_events: int) -> None:
        self._read = read
        self._max_events = max_events
        self.histories: dict[bytes, list[RecentEvent]] = {}
        self.counted: list[tuple[bytes, LoggedEvent]] = []

    def add(self, event: LoggedEvent) -> None:
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
            recent = RecentEvent(event.offset, event.millis, event.event_type, event.item_id, fingerprint, event.value)
            if self._append(key, recent):
                self.counted.append((group, event))

    def _move(self, session: bytes, user: bytes, offset: int) -> None:
        """Give a user what a session did before; it counts from the event on that tied the two."""
        for event in self._history(session):
            self._append(user, replace(event, offset=offset))
        self.histories[session] = []

    def _append(self, key: bytes, event: RecentEvent) -> bool:
        """Add an event unless it is known; return whether it was new."""
        history = self._history(key)
        if any(known.fingerprint == event.fingerprint for known in history):
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
    """Return the stored form of those events of a history that lie behind an offset; empty for none."""
    left = [event for event in StoredHistory(payload).events() if event.offset > offset]
    return encode(left) if left else b""


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
    # Without a size LMDB takes the one that it finds, and a map smaller than what lies in the file it makes larger.
    return lmdb.open(
        str(folder), map_size=map_bytes, max_dbs=_DATABASES, max_readers=_MAX_READERS, sync=sync, mode=FILE_MODE
    )


def _key(group: bytes, kind: bytes, identifier: str) -> bytes:
    return group + kind + _digest(identifier, size=16)


def _digest(text: str, *, size: int) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest()
