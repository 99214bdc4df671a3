"""What users did since the training, read from the table of interactions: the events that runtimes read from the log.

Answers are made from an artifact and the events that came after it, at the runtime as here. The log forgets, the table
does not, and a flush before it is read puts everything into it that was acknowledged; so a job reads the table, and
gives each event to the user whom the runtime gives it to. Seconds are all that a table has of times: events of one
second are taken in the order of the log.

Where the log was restored from a backup, the offsets behind where it parted from the log of the training are used a
second time: what the model has is told by the table as it was then. Offsets are moved behind those of the model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from common import columns
from common.errors import CorruptArtifact, ResourceNotFound
from common.logs import get_logger
from common.positions import Epoch, Lineage, Position
from common.storage import Store
from common.tables import Table
from common.vocabulary import Vocabulary
from inference.recent_events import RecentEvent

__all__ = ["LearntEvents", "RecentEvents", "Sent", "TableHistory", "read_recent_events"]

_log = get_logger(__name__)
#: How many of the newest events of a model are compared where its log is another one; as of the events service.
_MAX_DIVERGED: Final = 1_000_000

#: Columns of events as parts carry them.
_TYPES: Final[dict[str, pl.DataType]] = {
    columns.USER_ID: pl.String(),
    columns.SESSION_ID: pl.String(),
    columns.ITEM_ID: pl.String(),
    columns.EVENT_TYPE: pl.String(),
    columns.EVENT_VALUE: pl.Float64(),
    columns.TIMESTAMP: pl.Int64(),
    columns.EVENT_ID: pl.String(),
    columns.LOG_OFFSET: pl.Int64(),
}
#: What `_SENT` columns of the frame are, in the order of `RecentEvent`.
_SENT: Final = ("offset", "millis", "event_type", "item_id", "fingerprint", "value")

#: Events of one user as they travel to where lines are answered: tuples as of `RecentEvent`.
Sent = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class LearntEvents:
    """Which events a model has.

    Attributes:
        watermark: Place in the log up to which its snapshot has all events.
        version: Of the table of interactions, which it was trained on; None where that is not known.
        lineage: Of the log as it is now; None where that is not known, so that it counts as the same log.
    """

    watermark: Position
    version: int | None = None
    lineage: Lineage | None = None

    @property
    def shared(self) -> int:
        """Up to this offset the log is still the one that the model has the events of."""
        offset = self.watermark.offset
        if self.lineage is None or self.version is None:
            return offset
        return max(self.lineage.shared(self.watermark), offset - _MAX_DIVERGED)


@dataclass(frozen=True, slots=True)
class TableHistory:
    """A `inference.recent_events.RecentHistory` of one user, from the table.

    Attributes:
        recent: The events, in the order of their arrival; at least one.
        lineage: Of the log, as far as the snapshot of the model is concerned.
    """

    recent: Sequence[RecentEvent]
    lineage: Lineage

    @classmethod
    def of(cls, sent: Sent, watermark: Position) -> TableHistory:
        """Read the events of one user, all of them after the watermark of the model."""
        return cls([RecentEvent(*event) for event in sent], Lineage([Epoch(watermark.epoch, 1)]))

    @property
    def last_offset(self) -> int:
        """Offset of the newest event."""
        return max(event.offset for event in self.recent)

    @property
    def size(self) -> int:
        """Events that are kept."""
        return len(self.recent)

    def events(self) -> Sequence[RecentEvent]:
        """Return the events in the order of their arrival."""
        return self.recent

    def up_to(self, position: Position) -> TableHistory | None:
        """Return the history as it was at a position of the log; None for no events."""
        last = self.lineage.shared(position)
        kept = [event for event in self.recent if event.offset <= last]
        return TableHistory(kept, self.lineage) if kept else None


@dataclass(frozen=True, slots=True)
class RecentEvents:
    """The events since a training, by user, and by session where no user is known.

    Attributes:
        users: Those who did anything.
        starts: int64 [users + 1], where the events of each begin.
        events: In the order of users, and for each in the order of arrival; columns as of `RecentEvent`.
    """

    users: Vocabulary
    starts: np.ndarray[Any, np.dtype[np.int64]]
    events: pl.DataFrame

    def of_users(self, user_ids: Iterable[str]) -> dict[str, Sent]:
        """Return the events of those users who have any."""
        listed = list(dict.fromkeys(user_ids))
        indexes = self.users.indexes(listed) if len(self.users) else np.full(len(listed), -1, np.int32)
        return {
            user_id: self.events[int(self.starts[user]) : int(self.starts[user + 1])].rows()
            for user_id, user in zip(listed, indexes.tolist(), strict=True)
            if user >= 0
        }


def read_recent_events(
    store: Store, location: str, *, learnt: LearntEvents, most: int, check: Callable[[], None] = lambda: None
) -> RecentEvents:
    """Read what users did after the snapshot of a model.

    Args:
        store: The shared store.
        location: Of the table of interactions, to which all that was acknowledged is flushed.
        learnt: What the model has.
        most: Newest events of each user or session that are kept, as runtimes keep them.
        check: Called again and again; raises when the job must end.

    Raises:
        CorruptArtifact: A file of the table is damaged or missing.
        Unavailable: The store cannot be reached.
    """
    table = Table(store, location)
    if not table.exists():
        return _by_user([])
    version, shared, last = table.version(), learnt.shared, learnt.watermark.offset
    newer = _rows(table.put_batches(list(_TYPES), version=version, after=shared), check)
    if shared < last:
        newer = _not_learnt(newer, table, learnt, check)
    # A session that a user is known of now brings along what was done in it before, however long ago.
    is_tied = pl.col(columns.USER_ID).is_not_null() & pl.col(columns.SESSION_ID).is_not_null()
    tied = newer.filter(is_tied).select(columns.SESSION_ID).unique()
    batches = table.put_batches(list(_TYPES), version=version, up_to=shared) if len(tied) else ()
    earlier = _rows((batch.join(tied, on=columns.SESSION_ID, how="semi") for batch in batches), check)
    # Behind those of the model, whose places the log may have given again.
    newer = newer.with_columns(pl.col(columns.LOG_OFFSET) + (last - shared))
    return _by_user(_histories(pl.concat([earlier, newer]).sort(columns.LOG_OFFSET), last, most))


def _not_learnt(rows: pl.DataFrame, table: Table, learnt: LearntEvents, check: Callable[[], None]) -> pl.DataFrame:
    """Leave out the events that a model was trained with, which another log than that of today gave offsets to.

    Args:
        rows: Of the table as it is.
        table: Of interactions.
        learnt: What the model has, with a version.
        check: Raises when the job must end.
    """
    key, last = [columns.LOG_OFFSET, columns.EVENT_ID], learnt.watermark.offset
    assert learnt.version is not None, "or nothing is compared"
    try:
        if learnt.version < table.oldest_version():
            raise ResourceNotFound(f"`version`: got {learnt.version} of {table.location}, which is gone")
        batches = table.put_batches(list(_TYPES), version=learnt.version, after=learnt.shared, up_to=last)
        seen = _rows((batch.select(key) for batch in batches), check).select(key)
    except (CorruptArtifact, ResourceNotFound) as error:
        # Which of the rows are the model's cannot be told: all count as its, until the next training.
        _log.warning("events_of_restored_log_left_out", location=table.location, cause=error.message)
        return rows.filter(pl.col(columns.LOG_OFFSET) > last)
    return rows.join(seen, on=key, how="anti", nulls_equal=True)


def _rows(batches: Iterable[pl.DataFrame], check: Callable[[], None]) -> pl.DataFrame:
    """Gather rows with all columns; those of a table that has never had one are null."""
    return pl.concat(
        [pl.DataFrame(schema=_TYPES)]
        + [
            batch.with_columns(pl.lit(None, kind).alias(name) for name, kind in _TYPES.items() if name not in batch)
            .select(list(_TYPES))
            # By way of text: 0.7 of 32 bits is 0.7 again, as it was sent.
            .with_columns(pl.col(pl.Float32).cast(pl.String))
            .cast(_TYPES)  # type: ignore[arg-type]  # stubs of Polars
            for batch in _checked(batches, check)
        ]
    )


def _checked(batches: Iterable[pl.DataFrame], check: Callable[[], None]) -> Iterator[pl.DataFrame]:
    for batch in batches:
        check()
        yield batch


def _histories(rows: pl.DataFrame, watermark: int, most: int) -> Iterator[tuple[str, list[RecentEvent]]]:
    """Give each event to its user, as runtimes do; those of a session that is tied to one move there.

    Args:
        rows: In the order of the log.
        watermark: Events up to this offset count only for users whom they come to later.
        most: Events that are kept of each.
    """
    users: dict[str, list[RecentEvent]] = {}
    sessions: dict[str, list[RecentEvent]] = {}
    for user_id, session_id, item_id, event_type, value, seconds, event_id, offset in rows.iter_rows():
        if user_id and session_id and session_id in sessions:
            history = users.setdefault(user_id, [])
            for event in sessions.pop(session_id):
                _append(history, event._replace(offset=offset), most)
        if not item_id or not (user_id or session_id):
            continue
        fingerprint = int.from_bytes(hashlib.blake2b((event_id or str(offset)).encode(), digest_size=8).digest())
        event = RecentEvent(
            offset, seconds * 1000, event_type or "", item_id, fingerprint, math.nan if value is None else value
        )
        _append(users.setdefault(user_id, []) if user_id else sessions.setdefault(session_id, []), event, most)
    for histories in (users, {name: events for name, events in sessions.items() if name not in users}):
        for name, events in histories.items():
            if newer := [event for event in events if event.offset > watermark]:
                yield name, newer


def _append(history: list[RecentEvent], event: RecentEvent, most: int) -> None:
    if all(earlier.fingerprint != event.fingerprint for earlier in history):
        history.append(event)
        del history[:-most]


def _by_user(histories: Iterable[tuple[str, list[RecentEvent]]]) -> RecentEvents:
    names, counts, events = list[str](), list[int](), list[RecentEvent]()
    for name, of_user in histories:
        names.append(name)
        counts.append(len(of_user))
        events += of_user
    frame = pl.DataFrame(
        {name: [getattr(event, name) for event in events] for name in _SENT},
        schema={
            "offset": pl.Int64, "millis": pl.Int64, "event_type": pl.String, "item_id": pl.String,
            "fingerprint": pl.UInt64, "value": pl.Float64,
        },
    )  # fmt: skip
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    return RecentEvents(Vocabulary.build(names), starts, frame)
