"""The log's database: its tables, its migrations, and the mapping between rows and events."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, Final

from common.errors import CorruptArtifact
from common.positions import LEGACY_EPOCH
from events_service.domain import Event
from events_service.log import LogEntry, LoggedEvent

__all__ = ["EVENT_COLUMNS", "INSERT_EVENT", "event_values", "logged_event", "open_database", "prepare"]

_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE tables (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    dataset_group_arn TEXT NOT NULL,
    schema TEXT NOT NULL,
    sealed_offset INTEGER NOT NULL DEFAULT 0,
    -- Rows in the table that another log put there, and when that was noticed.
    diverged_after INTEGER,
    diverged_until INTEGER,
    diverged_at_millis INTEGER
) STRICT;
-- AUTOINCREMENT: an offset is not used again, even when all events were removed.
CREATE TABLE events (
    "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
    table_id INTEGER NOT NULL REFERENCES tables (id),
    appended_at_millis INTEGER NOT NULL,
    tracking_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    user_id TEXT,
    event_type TEXT NOT NULL,
    event_value REAL,
    item_id TEXT,
    sent_at_millis INTEGER NOT NULL,
    properties_json TEXT,
    recommendation_id TEXT,
    impression_json TEXT,
    attribution_source TEXT
) STRICT;
CREATE INDEX events_by_table ON events (table_id);
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    first_offset INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (1, 1);
"""
#: What version 2 added to version 1.
_ADDED: Final = """
-- Unique within one table only: a dataset that is created anew has no events yet.
CREATE UNIQUE INDEX events_by_id ON events (table_id, tracking_id, event_id);
CREATE INDEX events_by_age ON events (table_id, appended_at_millis);
CREATE TABLE epochs (
    first_offset INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL UNIQUE
) STRICT;
-- Ends of tables; their offsets are of the same row of numbers as those of events.
CREATE TABLE removals (
    "offset" INTEGER PRIMARY KEY,
    dataset_group_arn TEXT NOT NULL,
    up_to_offset INTEGER NOT NULL
) STRICT;
-- What the log's own clock said last.
ALTER TABLE state ADD COLUMN clock_millis INTEGER;
"""
#: Tables that version 1 had marked as removed are found to be gone once more, and then leave the log.
_FROM_VERSION_1: Final = f"""
DROP INDEX events_by_id;
ALTER TABLE tables DROP COLUMN removed;
ALTER TABLE tables ADD COLUMN diverged_after INTEGER;
ALTER TABLE tables ADD COLUMN diverged_until INTEGER;
ALTER TABLE tables ADD COLUMN diverged_at_millis INTEGER;
{_ADDED}
INSERT INTO epochs SELECT 1, {LEGACY_EPOCH} FROM sqlite_sequence WHERE name = 'events' AND seq > 0;
"""  # noqa: S608 - constants only
_EVENT: Final = (
    "event_id, session_id, event_type, sent_at_millis, user_id, event_value, item_id, properties_json, "
    "recommendation_id, impression_json, attribution_source"
)
#: For SELECT, from `events e JOIN tables t`; in the order that `logged_event` expects.
EVENT_COLUMNS: Final = f'e."offset", e.tracking_id, t.dataset_group_arn, {_EVENT}'
INSERT_EVENT: Final = (
    f"INSERT INTO events (table_id, appended_at_millis, tracking_id, {_EVENT}) "  # noqa: S608 - constants only
    'VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING "offset"'
)


def open_database(path: Path) -> sqlite3.Connection:
    """Open a connection in autocommit mode: every transaction begins with an explicit BEGIN."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # Other connections of this process may be checkpointing or recovering.
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def prepare(connection: sqlite3.Connection, *, checkpoint_pages: int) -> None:
    """Configure the writer's connection, and create or migrate the database.

    Args:
        connection: To a new database, or to one of a known version.
        checkpoint_pages: Size of the write-ahead log at which it is copied into the database.

    Raises:
        CorruptArtifact: The file is not a database, or has a version that this program does not know.
    """
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # Each commit syncs the write-ahead log: what is acknowledged survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages:d}")
        # What is removed is overwritten, so that no file holds it any longer.
        connection.execute("PRAGMA secure_delete = ON")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        migration = {0: _SCHEMA + _ADDED, 1: _FROM_VERSION_1}.get(version)
        if migration is not None:
            connection.executescript(f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {_VERSION}; COMMIT;")
    except sqlite3.DatabaseError as error:
        raise CorruptArtifact(f"event log: cannot be opened: {error}") from error
    if migration is None and version != _VERSION:
        raise CorruptArtifact(f"event log: got a database of version {version}, want {_VERSION}; use a newer program")


def event_values(entry: LogEntry, *, table_id: int, appended_at_millis: int) -> tuple[Any, ...]:
    """Return the parameters of `INSERT_EVENT` for one entry."""
    event = entry.event
    return (
        table_id, appended_at_millis, entry.tracking_id,
        event.event_id, event.session_id, event.event_type, event.sent_at_millis, event.user_id, event.event_value,
        event.item_id, event.properties_json, event.recommendation_id,
        json.dumps(event.impression) if event.impression else None, event.attribution_source,
    )  # fmt: skip


def logged_event(row: tuple[Any, ...]) -> LoggedEvent:
    """Return the event that a row of `EVENT_COLUMNS` stands for."""
    offset, tracking_id, dataset_group_arn, *values, impression, attribution_source = row
    item_ids = tuple(json.loads(impression)) if impression else ()
    return LoggedEvent(
        offset=offset,
        tracking_id=tracking_id,
        dataset_group_arn=dataset_group_arn,
        event=Event(*[*values, item_ids, attribution_source]),
    )
