"""Removes what deleted users did from the log, as the deletion ledger says, and counts what the log has of a user."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.deletions import DeletedUsers, DigestSet, read_deletion
from common.logs import get_logger
from common.storage import Store
from events_service.domain import ActionInteraction, Entity, Event
from events_service.log import EventLog, LoggedRecord, RecordKind
from events_service.records import content_of

__all__ = ["HandledRecords", "SoughtUser", "UserRecords"]

_log = get_logger(__name__)
_BATCH_RECORDS: Final = 10_000


@dataclass(frozen=True, slots=True)
class HandledRecords:
    """What a call came to.

    Attributes:
        count: Records that were removed, or counted.
        reached_offset: Up to here that is done.
        is_complete: Whether that is all.
    """

    count: int
    reached_offset: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class SoughtUser:
    """A user who is looked for.

    Attributes:
        user: The user, as a set of one.
        sessions: The user's sessions.
        deletions: Those that reach the user: their sessions count up to their offsets.
    """

    user: DigestSet
    sessions: DigestSet
    deletions: Sequence[DeletedUsers]


class UserRecords:
    """Removes records of deleted users, and counts those of a user.

    Args:
        log: The log.
        store: Has the ledger.
        monotonic: Returns seconds on a clock that nobody sets.
    """

    def __init__(self, log: EventLog, store: Store, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._store = store
        self._monotonic = monotonic

    def remove(self, location: str, table_location: str, *, after: int, seconds: float) -> HandledRecords:
        """Announce a deletion unless that is done, and remove the users' records of one table.

        Announced first: a runtime that reads a record before it is removed comes to the announcement later.

        Args:
            location: Folder of the deletion in the ledger.
            table_location: The table's.
            after: Where to begin.
            seconds: How long this may take; a batch that has begun is finished.

        Raises:
            ResourceNotFound: The ledger has no such deletion.
            Unavailable: Log or store cannot be reached.
        """
        until = self._monotonic() + seconds
        deleted = read_deletion(self._store, location)
        up_to = deleted.entry.up_to_offset
        self._log.append_user_removal(deleted.entry.dataset_group_arn, location=location, up_to_offset=up_to)
        count, done_to = 0, after
        while done_to < up_to:
            records = self._log.table_records(table_location, after=done_to, max_records=_BATCH_RECORDS)
            meant = [record for record in records if record.offset <= up_to]
            theirs = _theirs(meant, deleted.users, deleted.sessions)
            offsets = [record.offset for record, is_theirs in zip(meant, theirs, strict=True) if is_theirs]
            count += self._log.remove_records(table_location, offsets)
            # A page may be shorter than was asked for, so that only an empty one is the end.
            done_to = min(records[-1].offset, up_to) if records else up_to
            if self._monotonic() >= until:
                break
        if count:
            _log.info("user_records_removed", location=table_location, records=count)
        return HandledRecords(count, done_to, done_to >= up_to)

    def count(self, table_location: str, sought: SoughtUser, *, after: int, seconds: float) -> HandledRecords:
        """Count the records of one table that are a user's, and remove none.

        Args:
            table_location: The table's.
            sought: The user.
            after: Where to begin.
            seconds: How long this may take; a batch that has begun is finished.

        Raises:
            Unavailable: The log cannot be reached.
        """
        until = self._monotonic() + seconds
        # What another events service has just taken counts, too.
        self._log.catch_up()
        count, done_to = 0, after
        while True:
            records = self._log.table_records(table_location, after=done_to, max_records=_BATCH_RECORDS)
            if not records:
                return HandledRecords(count, done_to, is_complete=True)
            is_theirs = _theirs(records, sought.user, sought.sessions)
            offsets = np.array([record.offset for record in records])
            for deleted in sought.deletions:
                is_theirs |= _theirs(records, sought.user, deleted.sessions) & (offsets <= deleted.entry.up_to_offset)
            count, done_to = count + int(is_theirs.sum()), records[-1].offset
            if self._monotonic() >= until:
                return HandledRecords(count, done_to, is_complete=False)


def _theirs(records: Sequence[LoggedRecord], users: DigestSet, sessions: DigestSet) -> NDArray[np.bool_]:
    """Return for each record whether it is of one of the users: bool [n]."""
    owners = [_owner(record) for record in records]
    of_users = users.holds_ids([user for user, _ in owners])
    # Events from before the user logged in have the session alone.
    of_sessions = sessions.holds_ids([None if user else session for user, session in owners])
    return of_users | of_sessions


def _owner(record: LoggedRecord) -> tuple[str | None, str | None]:
    """Return the user and the session of a record; None where it has none."""
    content: Event | Entity | ActionInteraction = content_of(record)
    if isinstance(content, Entity):
        return (content.entity_id if record.kind is RecordKind.USER else None), None
    return content.user_id or None, content.session_id or None
