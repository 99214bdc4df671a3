"""Removes what datasets, users and snapshots leave no place for, in steps of bounded work; each is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from common.deletions import DeletedUsers, DigestSet
from runtime_service.history.counts import CountStore
from runtime_service.history.keys import GROUP_BYTES, ID_BYTES, LISTED, LOGGED, PUTS, USED, digest
from runtime_service.history.puts import PutStore
from runtime_service.history.records import StoredHistory, encode, offsets_after

__all__ = ["Removal"]


@dataclass(frozen=True, slots=True)
class Removal:
    """What is removed from the databases of an LMDB environment.

    Attributes:
        environment: The environment.
        histories: Database of the histories.
        shown: Database of the items that were shown.
        counts: Counters of items.
        puts: What was put.
        step: Keys that one transaction handles.
        write: Runs a function in a write transaction.
    """

    environment: Any
    histories: Any
    shown: Any
    counts: CountStore
    puts: PutStore
    step: int
    write: Callable[[Callable[[Any], object]], None]

    def of_dataset(self, dataset_group_arn: str, dataset_type: str, *, up_to: int) -> Iterator[None]:
        """Remove what a dataset had up to an offset."""
        if dataset_type in PUTS:
            yield from self.of_puts(dataset_group_arn, dataset_type, up_to=up_to)
            return
        group = digest(dataset_group_arn)
        for kind in USED[dataset_type]:
            yield from self._cut(self.histories, group + kind, partial(_events_after, offset=up_to))
        if dataset_type == "INTERACTIONS":
            for kind in (LISTED, LOGGED):
                yield from self._cut(self.shown, group + kind, partial(offsets_after, offset=up_to))
            self.write(lambda transaction: self.counts.remove(transaction, group, up_to=up_to))

    def of_puts(self, dataset_group_arn: str, dataset_type: str, *, up_to: int) -> Iterator[None]:
        """Remove what was put into a dataset up to an offset."""
        prefix, has_more = digest(dataset_group_arn) + PUTS[dataset_type], True

        def write(transaction: Any) -> None:
            nonlocal has_more
            has_more = self.puts.remove_up_to(transaction, prefix, offset=up_to, limit=self.step)

        while has_more:
            self.write(write)
            yield
        if dataset_type == "USERS":
            self.write(partial(self.puts.remove_deletions, group=prefix[:GROUP_BYTES], offset=up_to))

    def of_users(self, dataset_group_arn: str, deleted: DeletedUsers) -> Iterator[None]:
        """Remove what deleted users did, and what was put of them, up to the deletion's offset."""
        group, up_to = digest(dataset_group_arn), deleted.entry.up_to_offset
        self.write(partial(self.puts.add_deletion, group=group, up_to=up_to, location=deleted.location))
        for users, sessions in USED.values():
            yield from self._of_histories(group + users, (deleted.users,), up_to=up_to)
            # A user is looked up as a session too, so one whose id is a session's is forgotten as both.
            yield from self._of_histories(group + sessions, (deleted.users, deleted.sessions), up_to=up_to)
        for keys in self._key_pages(self.puts.database, group + PUTS["USERS"]):
            self.write(partial(self._remove_puts, _held(keys, (deleted.users,)), up_to))
            yield

    def _of_histories(self, prefix: bytes, digests: Sequence[DigestSet], *, up_to: int) -> Iterator[None]:
        for keys in self._key_pages(self.histories, prefix):
            self.write(partial(self._cut_histories, _held(keys, digests), up_to))
            yield

    def _key_pages(self, database: Any, prefix: bytes) -> Iterator[list[bytes]]:
        """Yield the keys with a prefix, some at a time; what was yielded may be removed meanwhile."""
        start: bytes | None = prefix
        while start is not None:
            keys: list[bytes] = []
            with self.environment.begin() as transaction, transaction.cursor(database) as cursor:
                has_entry = cursor.set_range(start)
                while has_entry and len(keys) < self.step and cursor.key().startswith(prefix):
                    keys.append(cursor.key())
                    has_entry = cursor.next()
                start = cursor.key() if has_entry and cursor.key().startswith(prefix) else None
            yield keys

    def _cut_histories(self, keys: Sequence[bytes], up_to: int, transaction: Any) -> None:
        for key in keys:
            if rest := _events_after(transaction.get(key, b"", db=self.histories), offset=up_to):
                transaction.put(key, rest, db=self.histories)
            else:
                transaction.delete(key, db=self.histories)

    def _remove_puts(self, keys: Sequence[bytes], up_to: int, transaction: Any) -> None:
        for key in keys:
            self.puts.remove(transaction, key, up_to=up_to)

    def _cut(self, database: Any, prefix: bytes, cut: Callable[[bytes], bytes]) -> Iterator[None]:
        """Apply `cut` to the values of all keys with a prefix; those that are empty then are removed."""
        start: bytes | None = prefix
        next_key: bytes | None = None

        def write(transaction: Any) -> None:
            nonlocal next_key  # and not `start`, as a transaction that does not succeed is run again
            assert start is not None
            next_key = _cut_some(transaction, database, start, prefix=prefix, cut=cut, limit=self.step)

        while start is not None:
            self.write(write)
            start = next_key
            yield


def _cut_some(
    transaction: Any, database: Any, start: bytes, *, prefix: bytes, cut: Callable[[bytes], bytes], limit: int
) -> bytes | None:
    """Apply `cut` to the values of the next keys with a prefix; return the key to continue from, None at the end."""
    with transaction.cursor(database) as cursor:
        has_entry = cursor.set_range(start)
        for _ in range(limit):
            if not has_entry or not cursor.key().startswith(prefix):
                return None
            if rest := cut(cursor.value()):
                transaction.put(cursor.key(), rest, db=database)
                has_entry = cursor.next()
            else:
                has_entry = cursor.delete()
        return cursor.key() if has_entry and cursor.key().startswith(prefix) else None


def _held(keys: Sequence[bytes], digests: Sequence[DigestSet]) -> list[bytes]:
    """Return the keys whose ids one of some sets holds."""
    held = [digest_set.holds(key[-ID_BYTES:] for key in keys) for digest_set in digests]
    return [key for place, key in enumerate(keys) if any(chosen[place] for chosen in held)]


def _events_after(payload: bytes, *, offset: int) -> bytes:
    """Return the stored form of a history's events after an offset; empty for none."""
    events = [event for event in StoredHistory(payload).events() if event.offset > offset]
    return encode(events) if events else b""
