"""Removes what deleted users did from the log, as the deletion ledger says, and tells runtimes to forget them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.deletions import DeletedUsers, read_deletion
from common.logs import get_logger
from common.storage import Store
from events_service.domain import ActionInteraction, Entity, Event
from events_service.log import EventLog, LoggedRecord, RecordKind
from events_service.records import content_of

__all__ = ["RemovedRecords", "UserRemover"]

_log = get_logger(__name__)
_BATCH_RECORDS: Final = 10_000


@dataclass(frozen=True, slots=True)
class RemovedRecords:
    """What a call came to.

    Attributes:
        count: Records that were removed.
        reached_offset: Up to here the table has none of the users' records.
        is_complete: Whether that is all that the deletion reaches to.
    """

    count: int
    reached_offset: int
    is_complete: bool


class UserRemover:
    """Removes records of deleted users.

    Args:
        log: The log.
        store: Has the ledger.
        monotonic: Returns seconds on a clock that nobody sets.
    """

    def __init__(self, log: EventLog, store: Store, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._store = store
        self._monotonic = monotonic

    def remove(self, location: str, table_location: str, *, after: int, seconds: float) -> RemovedRecords:
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
            offsets = [
                record.offset for record, is_theirs in zip(meant, _theirs(meant, deleted), strict=True) if is_theirs
            ]
            count += self._log.remove_records(table_location, offsets)
            # A page may be shorter than was asked for, so that only an empty one is the end.
            done_to = min(records[-1].offset, up_to) if records else up_to
            if self._monotonic() >= until:
                break
        if count:
            _log.info("user_records_removed", location=table_location, records=count)
        return RemovedRecords(count, done_to, done_to >= up_to)


def _theirs(records: Sequence[LoggedRecord], deleted: DeletedUsers) -> NDArray[np.bool_]:
    """Return for each record whether it is of a deleted user: bool [n]."""
    owners = [_owner(record) for record in records]
    of_users = deleted.users.holds_ids([user for user, _ in owners])
    # Events from before the user logged in have the session alone.
    of_sessions = deleted.sessions.holds_ids([None if user else session for user, session in owners])
    return of_users | of_sessions


def _owner(record: LoggedRecord) -> tuple[str | None, str | None]:
    """Return the user and the session of a record; None where it has none."""
    content: Event | Entity | ActionInteraction = content_of(record)
    if isinstance(content, Entity):
        return (content.entity_id if record.kind is RecordKind.USER else None), None
    return content.user_id or None, content.session_id or None
